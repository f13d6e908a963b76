"""The one training loop: early stopping, checkpoints, resume, progress, several processes.

Everything random in it is a function of (seed, epoch), so that a run that was killed goes on from
its last checkpoint to the same weights, bit for bit, as a run that was not.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from sb3_explain.atomic import atomic_path
from sb3_explain.errors import ExplainError
from sb3_explain.progress import progress_bar

#: (network, positions) -> named scalars, of which "loss" is minimised
Losses = Callable[[nn.Module, NDArray[np.int64]], dict[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    :param epochs: passes over the training states at most
    :param batch_size: states a step, over all processes
    :param learning_rate: its peak; it rises linearly over ``warmup`` and falls as a half cosine
    :param warmup: share of all steps
    :param weight_decay: decoupled, of AdamW
    :param patience: validations without progress before training stops
    :param min_delta: what counts as progress of the validation loss
    :param seed: of the order of the states
    :param precision: ``"auto"`` (bfloat16 where the processor has it), ``"bf16"``, ``"fp16"`` or
        ``"no"``
    :param checkpoint_every: steps between checkpoints; each epoch ends with one besides
    :param progress: show a bar
    """

    epochs: int = 10
    batch_size: int = 16
    learning_rate: float = 4e-3
    warmup: float = 0.05
    weight_decay: float = 1e-4
    patience: int = 5
    min_delta: float = 1e-3
    seed: int = 0
    precision: str = "auto"
    checkpoint_every: int = 200
    progress: bool = True

    def identity(self) -> dict[str, Any]:
        """What decides the result, as plain data."""
        kept = dataclasses.asdict(self)
        return {k: v for k, v in kept.items() if k not in ("progress", "checkpoint_every")}


@dataclasses.dataclass
class TrainingState:
    """How far a training has come; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    bad_validations: int = 0
    finished: bool = False
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def train_network(
    network: nn.Module,
    train_losses: Losses,
    n_train: int,
    validation_losses: Losses,
    n_validation: int,
    options: TrainingOptions,
    *,
    device: torch.device,
    folder: Path | None = None,
    identity: dict[str, Any] | None = None,
) -> TrainingState:
    """Train ``network`` in place; its weights are the best validation's afterwards.

    :param network: on any device
    :param train_losses: mean losses of a batch of training states, given by position
    :param n_train: number of training states
    :param validation_losses: the same for validation states
    :param n_validation: number of validation states
    :param options: see there
    :param device: where to train; replaced by each process's own when launched by accelerate
    :param folder: for ``best.safetensors``, ``last.safetensors`` and TensorBoard scalars; a
        training found there goes on. Nothing is written when not given
    :param identity: plain data that a training found in ``folder`` must share
    :raises ExplainError: if the loss is not finite, or the folder is of another training
    """
    accelerator = make_accelerator(options.precision, device)
    world, rank = accelerator.num_processes, accelerator.process_index
    if options.batch_size % world:
        raise ExplainError(
            f"a batch of {options.batch_size} states cannot be shared by {world} processes: "
            f"choose a multiple of {world}"
        )
    if n_train < options.batch_size or n_validation < 1:
        raise ExplainError(
            f"{n_train} training and {n_validation} validation states are too few for batches of "
            f"{options.batch_size}: collect more, or choose a smaller batch"
        )
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    checkpoints = Checkpoints(
        folder if accelerator.is_main_process else None,
        {**options.identity(), "precision": accelerator.mixed_precision, **(identity or {})},
    )
    state = Checkpoints(folder, checkpoints.identity).restore(network, optimizer)
    model, optimizer = accelerator.prepare(network, optimizer)
    best = copy_of(network)
    if state.step and folder is not None:
        best = safetensors.torch.load_file(folder / "best.safetensors") if state.history else best

    steps_per_epoch = n_train // options.batch_size
    total = options.epochs * steps_per_epoch
    writer = scalar_writer(folder if accelerator.is_main_process else None, state.step)
    started = time.perf_counter() - state.seconds
    show = options.progress and accelerator.is_main_process
    with progress_bar("fitting", total, "steps", show, done=state.step) as bar:
        while state.step < total and not state.finished:
            epoch, offset = divmod(state.step, steps_per_epoch)
            order = np.random.default_rng([options.seed, epoch]).permutation(n_train)
            batch = order[offset * options.batch_size :][: options.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * schedule(state.step / total, options.warmup)
            model.train()
            with accelerator.autocast():
                losses = train_losses(model, batch[rank::world])
            if not torch.isfinite(losses["loss"]):
                raise ExplainError(
                    f"the loss is {float(losses['loss'])} at step {state.step}: lower the learning "
                    "rate; the last checkpoint is kept"
                )
            accelerator.backward(losses["loss"])
            optimizer.step()
            optimizer.zero_grad()
            state.step += 1
            bar.update()
            if writer is not None and state.step % 10 == 0:
                for name, term in losses.items():
                    writer.add_scalar(f"train/{name}", float(term), state.step)
            if state.step % steps_per_epoch == 0:
                means = validate(model, validation_losses, n_validation, options, accelerator)
                state.history.append({"step": float(state.step), **means})
                if means["loss"] < state.best_loss - options.min_delta:
                    state.best_loss, state.bad_validations = means["loss"], 0
                    best = copy_of(network)
                    checkpoints.write_best(network)
                else:
                    state.bad_validations += 1
                state.finished = state.bad_validations >= options.patience or state.step == total
                bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
                if writer is not None:
                    for name, value in means.items():
                        writer.add_scalar(f"validation/{name}", value, state.step)
            if state.step % options.checkpoint_every == 0 or state.step % steps_per_epoch == 0:
                state.seconds = time.perf_counter() - started
                checkpoints.write_last(network, optimizer.optimizer, state)
    if writer is not None:
        writer.close()
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    network.load_state_dict(best)
    network.eval()
    return state


def schedule(progress: float, warmup: float) -> float:
    """Share of the peak learning rate at ``progress`` in [0, 1) of the training."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


@torch.no_grad()
def validate(
    model: nn.Module,
    losses: Losses,
    n: int,
    options: TrainingOptions,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Mean losses over ``n`` validation states, shared out to the processes."""
    model.eval()
    sums: dict[str, float] = {}
    positions = np.arange(n)
    mine = positions[accelerator.process_index :: accelerator.num_processes]
    for start in range(0, len(mine), options.batch_size):
        batch = mine[start : start + options.batch_size]
        with accelerator.autocast():
            for name, value in losses(model, batch).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
    names = sorted(sums)
    totals = torch.tensor([sums[name] for name in names], dtype=torch.float64)
    totals = accelerator.reduce(totals.to(accelerator.device), "sum").cpu() / n
    return dict(zip(names, totals.tolist(), strict=True))


def make_accelerator(precision: str, device: torch.device) -> Accelerator:
    """The accelerator of this process, for one training.

    :param precision: as in :class:`TrainingOptions`
    :param device: of the agent; a CPU agent is trained for on the CPU
    """
    if precision not in ("auto", "no", "bf16", "fp16"):
        raise ExplainError(f"unknown precision {precision!r} (known: auto, bf16, fp16, no)")
    if precision == "auto":
        precision = "bf16" if has_bfloat16(device) else "no"
    # The precision of an earlier training in this process would otherwise hold for this one.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=precision, cpu=device.type == "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` computes convolutions in bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights on the CPU."""
    return {name: packed(tensor) for name, tensor in network.state_dict().items()}


def packed(tensor: Tensor) -> Tensor:
    """A copy on the CPU in the memory layout that safetensors wants."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def scalar_writer(folder: Path | None, step: int) -> SummaryWriter | None:
    """TensorBoard's writer; scalars that a killed run wrote after ``step`` are dropped."""
    if folder is None:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step)


class Checkpoints:
    """``last.safetensors`` and ``best.safetensors`` in a folder; no folder, no checkpoints.

    A file holds weights, optimiser and progress together, so that it is whole or not there.

    :param folder: where they stand
    :param identity: plain data that a checkpoint must share to be used
    """

    def __init__(self, folder: Path | None, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity: dict[str, Any] = json.loads(json.dumps(identity, sort_keys=True))

    def write_best(self, network: nn.Module) -> None:
        """Keep the weights alone."""
        if self.folder is not None:
            with atomic_path(self.folder / "best.safetensors") as path:
                safetensors.torch.save_file(copy_of(network), path)

    def write_last(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
    ) -> None:
        """Keep all that it takes to go on."""
        if self.folder is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in copy_of(network).items()}
        for index, entry in optimizer.state_dict()["state"].items():
            for name, value in entry.items():
                tensors[f"optimizer.{index}.{name}"] = packed(value)
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
        different = [k for k in self.identity if identity.get(k) != self.identity[k]]
        if different:
            raise ExplainError(
                f"{path.parent} holds a training with other settings ({', '.join(different)}): "
                "choose another folder, or delete this one"
            )
        weights = {n.removeprefix("network."): t for n, t in tensors.items() if n[0] == "n"}
        network.load_state_dict(weights)
        entries: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                entries.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
        return state
