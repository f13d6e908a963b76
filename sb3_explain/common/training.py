"""The training loop of all networks: early stopping, checkpoints, resume, several processes.

Everything random depends on (seed, epoch) alone, so that a run that was killed and resumed from its
last checkpoint has the same weights, bit for bit, as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.common.checkpoints import Checkpoints, TrainingState, copy_weights
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.progress import progress_bar

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.utils.tensorboard import SummaryWriter

#: names of the types in error messages
NAMES = {"int": "a whole number", "float": "a number", "str": "a word", "bool": "True or False"}
#: (network, positions of states) -> scalars by name, of which "loss" is minimized
Losses = Callable[[nn.Module, NDArray[np.int64]], dict[str, Tensor]]


PRECISIONS = ("auto", "bf16", "no")
#: number of steps between scalars for TensorBoard
SCALARS_EVERY = 10


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options of the training loop.

    :param epochs: largest number of passes over the training states
    :param batch_size: number of states in a step, over all processes
    :param learning_rate: peak of the learning rate, which rises linearly during ``warmup`` and then
        falls along a half cosine
    :param warmup: share of all steps in which the learning rate rises, in [0, 1)
    :param weight_decay: decoupled weight decay of AdamW
    :param patience: number of validations without improvement after which training stops
    :param min_delta: smallest decrease of the validation loss that counts as improvement
    :param seed: random seed of the order of the states
    :param precision: ``"auto"`` (bfloat16 if the device supports it), ``"bf16"`` or ``"no"``
    :param checkpoint_every: number of steps between checkpoints; each epoch also ends with one
    :param progress: whether to show a progress bar
    :param max_seconds: time limit in seconds, to which the learning rate's fall is adapted; the
        number of steps then depends on the machine
    :raises ExplainError: if an option has the wrong type, or is out of range
    """

    epochs: int = 8
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
    max_seconds: float = math.inf

    def __post_init__(self) -> None:
        require_types(self)
        if self.precision not in PRECISIONS:
            raise ExplainError(
                f"unknown precision {self.precision!r} (known: {', '.join(PRECISIONS)})"
            )
        counts = (self.epochs, self.batch_size, self.patience, self.checkpoint_every)
        if min(counts) < 1 or self.seed < 0 or not 0 <= self.warmup < 1:
            raise ExplainError(
                f"epochs={self.epochs}, batch_size={self.batch_size}, patience={self.patience}, "
                f"checkpoint_every={self.checkpoint_every}, seed={self.seed}, warmup={self.warmup}:"
                " give counts of at least 1, no negative seed, and a warmup of at least 0, below 1"
            )
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or not self.max_seconds > 0:
            raise ExplainError(
                f"learning_rate={self.learning_rate}, weight_decay={self.weight_decay}, "
                f"max_seconds={self.max_seconds}: give a positive rate, a decay that is not "
                "negative, and more than no time"
            )

    def identity(self) -> dict[str, Any]:
        """The options that determine the result, as plain data."""
        settings = dataclasses.asdict(self)
        if math.isinf(self.max_seconds):
            del settings["max_seconds"]
        return {k: v for k, v in settings.items() if k not in ("progress", "checkpoint_every")}


def require_types(settings: Any) -> None:
    """Check that the fields of a dataclass have the types that it declares.

    :param settings: instance of the dataclass; only fields of type int, float, str and bool are
        checked
    :raises ExplainError: if a value has another type
    """
    kinds: dict[str, Any] = {"int": Integral, "float": Real, "str": str, "bool": bool}
    for field in dataclasses.fields(settings):
        value, kind = getattr(settings, field.name), str(field.type)
        odd = isinstance(value, bool) and kind != "bool"
        if kind in kinds and (odd or not isinstance(value, kinds[kind])):
            raise ExplainError(f"{field.name}={value!r}: give {NAMES[kind]}")


def training_options(options: Mapping[str, Any]) -> TrainingOptions:
    """Training options from values by name.

    :raises ExplainError: if there is no such option
    """
    known = [field.name for field in dataclasses.fields(TrainingOptions)]
    require_known("training option", options, known)
    return TrainingOptions(**options)


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
    """Train a network in place; afterwards it has the weights of the best validation.

    :param network: network to train, on any device
    :param train_losses: function of the network and the positions of training states that returns
        their mean losses by name, of which ``"loss"`` is minimized
    :param n_train: number of training states
    :param validation_losses: the same for validation states
    :param n_validation: number of validation states
    :param options: options of the training
    :param device: device of the agent, on which the network is trained; one per process
    :param folder: folder for ``best.safetensors``, ``last.safetensors`` and TensorBoard scalars,
        from which an earlier training is resumed; nothing is written when not given
    :param identity: settings, as plain data, that an earlier training must have to be resumed
    :return: progress of the training, with its losses
    :raises ExplainError: if the loss is not finite, there are too few states, or the folder holds
        a training with other settings
    """
    accelerator = make_accelerator(options.precision, device)
    world = accelerator.num_processes
    if options.batch_size % world:
        raise ExplainError(
            f"a batch of {options.batch_size} states cannot be shared by {world} processes: "
            f"choose a multiple of {world}"
        )
    if world > 1 and math.isfinite(options.max_seconds):
        raise ExplainError("max_seconds is for one process: several would not stop together")
    if n_train < options.batch_size or n_validation < world:
        raise ExplainError(
            f"{n_train} training and {n_validation} validation states are too few for batches of "
            f"{options.batch_size}: collect more, or choose a smaller batch"
        )
    training = Training(network, options, accelerator, folder, identity or {})
    state = training.state
    steps_per_epoch = n_train // options.batch_size
    total = options.epochs * steps_per_epoch
    started = time.perf_counter() - state.seconds
    show = options.progress and accelerator.is_main_process
    try:
        with progress_bar("fitting", total, "steps", show, done=state.step) as bar:
            while state.step < total and not state.finished:
                epoch, offset = divmod(state.step, steps_per_epoch)
                order = np.random.default_rng([options.seed, epoch]).permutation(n_train)
                batch = order[offset * options.batch_size :][: options.batch_size]
                spent = (time.perf_counter() - started) / options.max_seconds
                done = min(max(state.step / total, spent), 1.0)
                training.take_step(train_losses, batch, schedule(done, options.warmup))
                bar.update()
                out_of_time = time.perf_counter() - started >= options.max_seconds
                if ends_epoch := out_of_time or state.step % steps_per_epoch == 0:
                    means = training.validate(validation_losses, n_validation)
                    bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
                    state.finished |= out_of_time or state.step == total
                if ends_epoch or state.step % options.checkpoint_every == 0:
                    state.seconds = time.perf_counter() - started
                    training.write_checkpoint()
    finally:
        training.close()
    network.load_state_dict(training.best)
    network.eval()
    return state


class Training:
    """A network in training, with optimizer, checkpoints and TensorBoard scalars.

    :param network: network to train in place
    :param options: options of the training
    :param accelerator: accelerator of this process
    :param folder: folder for checkpoints and scalars; ``None`` to write nothing
    :param identity: settings, as plain data, that an earlier training must have to be resumed
    """

    def __init__(
        self,
        network: nn.Module,
        options: TrainingOptions,
        accelerator: Accelerator,
        folder: Path | None,
        identity: dict[str, Any],
    ) -> None:
        self.network = network
        self.options = options
        self.accelerator = accelerator
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        described = {**options.identity(), "precision": accelerator.mixed_precision, **identity}
        self.checkpoints = Checkpoints(folder, described)
        self.state = self.checkpoints.restore(network, optimizer)
        #: weights of the best validation so far
        self.best = (
            self.checkpoints.read_best(network) if self.state.history else copy_weights(network)
        )
        self.model, self.optimizer = accelerator.prepare(network, optimizer)
        self.writer: SummaryWriter | None = None
        if folder is not None and accelerator.is_main_process:
            from torch.utils.tensorboard import SummaryWriter

            # scalars that a killed run wrote after its last checkpoint are dropped
            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=self.state.step)

    def take_step(self, losses: Losses, batch: NDArray[np.int64], rate: float) -> None:
        """Take one step on this process's share of a batch.

        :param losses: function of the network and positions of states, see :func:`train_network`
        :param batch: (batch_size,) positions of the states of all processes
        :param rate: learning rate as a share of its peak, in [0, 1]
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * rate
        self.model.train()
        accelerator = self.accelerator
        with accelerator.autocast():
            terms = losses(
                self.model, batch[accelerator.process_index :: accelerator.num_processes]
            )
        require_finite(float(terms["loss"].detach()), self.state.step)
        accelerator.backward(terms["loss"])
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.state.step += 1
        if self.state.step % SCALARS_EVERY == 0:
            self._log("train", {name: float(term.detach()) for name, term in terms.items()})

    @torch.no_grad()
    def validate(self, losses: Losses, n: int) -> dict[str, float]:
        """Mean losses over ``n`` validation states, which all processes compute together."""
        self.model.eval()
        accelerator = self.accelerator
        sums: dict[str, float] = {}
        mine = np.arange(accelerator.process_index, n, accelerator.num_processes)
        for start in range(0, len(mine), self.options.batch_size):
            batch = mine[start : start + self.options.batch_size]
            with accelerator.autocast():
                for name, value in losses(self.model, batch).items():
                    sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
        names = sorted(sums)
        totals = torch.tensor([sums[name] for name in names], dtype=torch.float64)
        totals = accelerator.reduce(totals.to(accelerator.device), "sum").cpu() / n
        means: dict[str, float] = dict(zip(names, totals.tolist(), strict=True))
        self._judge(means)
        return means

    def _judge(self, means: dict[str, float]) -> None:
        """Save the weights if they are the best so far; stop after too many that are not."""
        require_finite(means["loss"], self.state.step)
        self.state.history.append({"step": float(self.state.step), **means})
        self._log("validation", means)
        if means["loss"] < self.state.best_loss - self.options.min_delta:
            self.state.best_loss, self.state.bad_validations = means["loss"], 0
            self.best = copy_weights(self.network)
            if self.accelerator.is_main_process:
                self.checkpoints.write_best(self.best)
        else:
            self.state.bad_validations += 1
        self.state.finished = self.state.bad_validations >= self.options.patience

    def write_checkpoint(self) -> None:
        """Save everything that is needed to resume training."""
        if self.accelerator.is_main_process:
            self.checkpoints.write_last(self.network, self.optimizer.optimizer, self.state)

    def close(self) -> None:
        """Return the network to full precision, and close the TensorBoard file."""
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        if self.writer is not None:
            self.writer.close()

    def _log(self, part: str, values: dict[str, float]) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{part}/{name}", value, self.state.step)


def require_finite(loss: float, step: int) -> None:
    """Check that a loss is finite.

    :param loss: value of the loss
    :param step: number of the step, for the error message
    :raises ExplainError: if it is NaN or infinite
    """
    if not math.isfinite(loss):
        raise ExplainError(
            f"the loss is {loss} at step {step}: lower the learning rate; the last checkpoint is "
            "still there"
        )


def schedule(progress: float, warmup: float) -> float:
    """Learning rate as a share of its peak.

    :param progress: share of the training that is done, in [0, 1)
    :param warmup: share of the training in which the learning rate rises, in [0, 1)
    """
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def make_accelerator(precision: str, device: torch.device) -> Accelerator:
    """Make the accelerator of this process for one training.

    :param precision: ``"auto"``, ``"bf16"`` or ``"no"``, as in :class:`TrainingOptions`
    :param device: device of the agent, on which to train
    :raises ExplainError: if this process trains on another device than the agent's
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if precision == "auto":
        precision = "bf16" if has_bfloat16(device) else "no"
    # The precision of an earlier training in this process would otherwise hold for this one.
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision=precision, cpu=device.type == "cpu")
    if (device.type, device.index or 0) != (accelerator.device.type, accelerator.device.index or 0):
        raise ExplainError(
            f"this process trains on {accelerator.device}, but the agent is on {device}: load it "
            f"with device='{accelerator.device}'"
        )
    return accelerator


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes convolutions in bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
