"""Checkpoints of a training: one safetensors file each, whole or not there."""

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
    """How far a training has come; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    bad_validations: int = 0
    finished: bool = False
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def require_same_training(folder: Path, saved: dict[str, Any], expected: dict[str, Any]) -> None:
    """:raises ExplainError: if a folder holds another training than the one that is wanted"""
    different = [name for name in expected if saved.get(name) != expected[name]]
    if different:
        raise ExplainError(
            f"{folder} holds a training with other settings ({', '.join(different)}): choose "
            "another folder, or delete this one"
        )


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights on the CPU."""
    return {name: pack(tensor) for name, tensor in network.state_dict().items()}


def pack(tensor: Tensor) -> Tensor:
    """A copy on the CPU in the memory layout that safetensors wants."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


class Checkpoints:
    """``last.safetensors`` and ``best.safetensors`` in a folder; no folder, no checkpoints.

    A file holds weights, optimiser and progress together, so that it is whole or not there.

    :param folder: where they stand
    :param identity: plain data that a checkpoint must share to be used
    """

    def __init__(self, folder: Path | None, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity: dict[str, Any] = json.loads(json.dumps(identity, sort_keys=True))

    def write_best(self, weights: dict[str, Tensor]) -> None:
        """Keep the weights alone."""
        if self.folder is not None:
            with atomic_path(self.folder / "best.safetensors") as path:
                safetensors.torch.save_file(weights, path)

    def read_best(self) -> dict[str, Tensor]:
        """:raises ExplainError: if the file is missing or damaged"""
        assert self.folder is not None
        path = self.folder / "best.safetensors"
        try:
            return safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise ExplainError(f"{path} is damaged: delete {self.folder} to train anew") from error

    def write_last(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
    ) -> None:
        """Keep all that it takes to go on."""
        if self.folder is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in copy_weights(network).items()}
        for index, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"optimizer.{index}.{name}"] = pack(value)
        metadata = {
            "state": json.dumps(dataclasses.asdict(state)),
            "identity": json.dumps(self.identity),
        }
        with atomic_path(self.folder / "last.safetensors") as path:
            safetensors.torch.save_file(tensors, path, metadata=metadata)

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
        """Load the last checkpoint into network and optimiser, if there is one.

        :raises ExplainError: if it is damaged or of another training
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
