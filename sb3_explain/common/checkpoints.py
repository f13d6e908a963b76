"""Checkpoints of a training, each one safetensors file that is complete or absent."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path


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

    def read_best(self) -> dict[str, Tensor]:
        """Load the weights of the best validation.

        :raises ExplainError: if the file is missing or damaged
        """
        assert self.folder is not None
        path = self.folder / "best.safetensors"
        try:
            return safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise ExplainError(f"{path} is damaged: delete {self.folder} to train anew") from error

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
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state = TrainingState(**json.loads(metadata["state"]))
            identity = json.loads(metadata["identity"])
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ExplainError(f"{path} is damaged: delete it to train anew") from error
        require_same_training(path.parent, identity, self.identity)
        weights = {n.removeprefix("network."): t for n, t in tensors.items() if n[0] == "n"}
        network.load_state_dict(weights)
        optimizer_state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                optimizer_state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": optimizer_state})
        return state
