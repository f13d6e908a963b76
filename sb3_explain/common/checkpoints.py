"""Checkpoints of a training, each one safetensors file that is complete or absent."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path
from sb3_explain.common.schema import (
    array,
    flag,
    number,
    optional,
    parse_document,
    record,
    table,
    whole,
)
from sb3_explain.common.tensor_files import read_tensors, require_fit

#: the most steps of a training, and the most seconds
LONGEST = 10**12
_LOSS = optional(number(finite=False))
#: form of a :class:`TrainingState` as plain data
TRAINING_STATE = record(
    {
        "step": whole(0, LONGEST),
        "seconds": number(0, LONGEST),
        "best_loss": _LOSS,
        "bad_validations": whole(0, LONGEST),
        "finished": flag,
        "history": array(table(_LOSS, longest=100)),
    }
)
#: what AdamW keeps of each parameter: averages of its shape, and one number
AVERAGES = ("exp_avg", "exp_avg_sq", "step")


@dataclasses.dataclass
class TrainingState:
    """The progress of a training, which is saved with every checkpoint.

    :param step: number of steps done
    :param seconds: seconds spent on training
    :param best_loss: lowest validation loss so far
    :param bad_validations: number of validations since the loss last improved
    :param finished: whether the training is complete
    :param history: step and mean losses of each validation
    """

    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    bad_validations: int = 0
    finished: bool = False
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def require_same_training(folder: Path, saved: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check that a saved training has the expected settings.

    :param folder: folder of the training, for the error message
    :param saved: settings of the saved training
    :param expected: settings that it should have
    :raises ExplainError: if a setting differs
    """
    different = [name for name in expected if saved.get(name) != expected[name]]
    if different:
        raise ExplainError(
            f"{folder} holds a training with other settings ({', '.join(different)}): choose "
            "another folder, or delete this one"
        )


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """Copy all weights of a network to the CPU."""
    return {name: pack(tensor) for name, tensor in network.state_dict().items()}


def pack(tensor: Tensor) -> Tensor:
    """Copy a tensor to the CPU, contiguous as safetensors needs it."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


class Checkpoints:
    """``last.safetensors`` and ``best.safetensors`` in a folder.

    The last checkpoint holds weights, optimizer and progress in one file, the best one weights
    alone.

    :param folder: folder of the files; ``None`` for no checkpoints
    :param identity: settings, as plain data, that a saved checkpoint must have to be used
    """

    def __init__(self, folder: Path | None, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity: dict[str, Any] = json.loads(json.dumps(identity, sort_keys=True))

    def write_best(self, weights: dict[str, Tensor]) -> None:
        """Save the weights of the best validation so far."""
        if self.folder is not None:
            with atomic_path(self.folder / "best.safetensors") as path:
                safetensors.torch.save_file(weights, path)

    def read_best(self, network: nn.Module) -> dict[str, Tensor]:
        """Load the weights of the best validation.

        :param network: the network that they belong to
        :raises ExplainError: if the file is missing or damaged
        """
        assert self.folder is not None
        path, remedy = self.folder / "best.safetensors", "delete its folder to train anew"
        _, weights = read_tensors(path, remedy, allowed=allow_bytes(network))
        require_fit(weights, network.state_dict(), str(path), remedy)
        return weights

    def write_last(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
    ) -> None:
        """Save everything that is needed to resume training."""
        if self.folder is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in copy_weights(network).items()}
        for index, averages in optimizer.state_dict()["state"].items():
            for name, value in averages.items():
                tensors[f"optimizer.{index}.{name}"] = pack(value)
        metadata = {
            "state": json.dumps(dataclasses.asdict(state)),
            "identity": json.dumps(self.identity),
        }
        with atomic_path(self.folder / "last.safetensors") as path:
            safetensors.torch.save_file(tensors, path, metadata=metadata)

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
        """Load the last checkpoint into network and optimizer, if there is one.

        :return: progress of the training, from the beginning if there is no checkpoint
        :raises ExplainError: if the checkpoint is damaged, or has other settings
        """
        path = self.folder / "last.safetensors" if self.folder is not None else None
        if path is None or not path.exists():
            return TrainingState()
        remedy = "delete it to train anew"
        header, tensors = read_tensors(path, remedy, allowed=allow_bytes(network))
        saved, identity = (
            parse_document(header.metadata.get(name, "").encode(), kind, f"{path} ({name})", remedy)
            for name, kind in (("state", TRAINING_STATE), ("identity", record({})))
        )
        require_same_training(path.parent, identity, self.identity)
        weights = {f"network.{n}": tensor for n, tensor in network.state_dict().items()}
        averages = list_averages(network, tensors)
        require_fit(tensors, {**weights, **averages}, str(path), remedy)
        network.load_state_dict({n: tensors[f"network.{n}"] for n in network.state_dict()})
        optimizer_state: dict[int, dict[str, Tensor]] = {}
        for name in averages:
            _, index, key = name.split(".")
            optimizer_state.setdefault(int(index), {})[key] = tensors[name]
        optimizer.load_state_dict({**optimizer.state_dict(), "state": optimizer_state})
        return restore_state(saved)


def allow_bytes(network: nn.Module) -> int:
    """Number of bytes that a checkpoint may have: a few times what its network takes already.

    Weights and both averages are three times its size; the history is small beside them.
    """
    size: int = sum(tensor.nbytes for tensor in network.state_dict().values())
    return 4 * size


def restore_state(saved: dict[str, Any]) -> TrainingState:
    """Make a state of training of plain data of the form :data:`TRAINING_STATE`."""
    known = {field.name: saved[field.name] for field in dataclasses.fields(TrainingState)}
    best = saved["best_loss"]  # JSON has no infinity
    return TrainingState(**{**known, "best_loss": math.inf if best is None else best})


def list_averages(network: nn.Module, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """List the optimizer's tensors, by name, of all parameters of which any is saved.

    A parameter that has had no gradient has none.

    :param network: network that is optimized
    :param saved: tensors of a checkpoint by name
    :return: tensors of the right shapes and types
    """
    averages: dict[str, Tensor] = {}
    for index, parameter in enumerate(network.parameters()):
        own: dict[str, Tensor] = {f"optimizer.{index}.{name}": parameter for name in AVERAGES}
        own[f"optimizer.{index}.step"] = torch.zeros(())
        if own.keys() & saved.keys():
            averages |= own
    return averages
