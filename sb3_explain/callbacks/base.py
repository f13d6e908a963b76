"""The base of all callbacks: schedule, time budget, folder, error handling.

A callback works on a copy of the agent. The model, all random states and the weights that are
learned are the same with and without it, bit for bit.
"""

from __future__ import annotations

import logging
import math
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import TensorBoardOutputFormat
from torch.utils.tensorboard import SummaryWriter

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.arguments import parse_number, require_whole
from sb3_explain.callbacks.folders import claim_folder, find_results_folder
from sb3_explain.callbacks.training_states import Step, read_step, take_snapshot
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import NOT_WRITABLE
from sb3_explain.common.signatures import require_arguments
from sb3_explain.envs.feature_names import FeatureNames

log = logging.getLogger(__name__)

#: number of consecutive failures after which a callback stops working
MOST_FAILURES = 3
#: factor by which work may take longer than the last time, and still keep to the budget
MARGIN = 1.25
ON_ERROR = ("log", "raise")


class ExplainCallback(BaseCallback):
    """A callback that explains the agent at intervals, within a share of the training's time.

    A subclass defines ``kind``, :meth:`work` and, if it needs states, :meth:`watch`. Errors of its
    work are logged in one line, and the training continues.

    :param every: number of timesteps, of all environments together, between two explanations;
        ``None`` for one at the end of the training. There is one at the end in any case
    :param folder: parent of the folder that is written to, which is a new one for each training:
        ``saliency``, ``saliency_2``, ...; ``None`` for that of the training's own results, see
        :func:`sb3_explain.callbacks.folders.find_results_folder`
    :param budget: largest duration of the work, as a share of the training's own; work that would
        exceed it is postponed. ``None`` for no limit
    :param on_error: ``"log"`` to log errors, or ``"raise"`` to let them end the training
    :param seed: random seed
    :param verbose: verbosity as in SB3; 1 prints a line for each explanation
    :param action_names: names of the actions, instead of the environment's
    :param feature_names: names of the features, instead of the environment's, see
        :class:`sb3_explain.Agent`
    :raises ExplainError: for values out of range
    """

    #: name of the folder
    kind: ClassVar[str]
    #: whether the work stops by itself when the budget is used up
    limits_itself: ClassVar[bool] = False

    def __init__(
        self,
        every: int | None,
        folder: str | Path | None = None,
        *,
        budget: float | None,
        on_error: str = "log",
        seed: int | None = 0,
        verbose: int = 0,
        action_names: Sequence[str] | None = None,
        feature_names: FeatureNames | None = None,
        **unknown: Any,
    ) -> None:
        require_arguments(type(self), ExplainCallback, unknown)
        super().__init__(verbose)
        if on_error not in ON_ERROR:
            raise unknown_name("value of on_error", on_error, ON_ERROR)
        self.budget = math.inf if budget is None else parse_number(budget)
        if not self.budget > 0:
            raise ExplainError(f"budget={budget!r}: give a positive share of the training's time")
        if folder is not None and not isinstance(folder, (str, Path)):
            raise ExplainError(f"folder={folder!r}: give a path")
        self.every = require_whole("every", every) if every is not None else None
        self.given_folder = folder
        named = {"action_names": action_names, "feature_names": feature_names}
        #: names that the user gives
        self.names = {name: given for name, given in named.items() if given is not None}
        self.on_error = on_error
        self.seed = require_whole("seed", 0 if seed is None else seed, minimum=0)
        #: folder of this training's files, once the training has started
        self.folder: Path | None = None
        #: seconds that this callback has taken
        self.spent = 0.0
        #: timesteps at which the agent was explained
        self.worked: list[int] = []
        self._expected: float | None = None
        self._failures = 0
        self._running = self._refused = False
        self._began = self._due = math.inf
        self._since: float | None = None
        #: whether the training is over
        self.ending = False

    # --- what a subclass does ---------------------------------------------------------------

    def begin(self, agent: Agent) -> None:
        """Start a new training.

        :param agent: the agent at the start of the training
        :raises ExplainError: if the agent cannot be explained in this way
        """

    def watch(self, step: Step) -> None:
        """Observe a step of all environments."""

    @abstractmethod
    def work(self, folder: Path) -> None:
        """Explain the current agent.

        :param folder: folder to write to
        """

    @property
    def ready(self) -> bool:
        """Whether there are enough states for an explanation."""
        return True

    def write(self, values: dict[str, float]) -> None:
        """Log numbers at the current timestep to all outputs of SB3's logger.

        They are written at once, and do not affect what SB3 has recorded for its next dump.

        :param values: name -> number
        """
        for output in self.logger.output_formats:
            shown = dict(values)
            if not isinstance(output, TensorBoardOutputFormat):
                shown["time/total_timesteps"] = float(self.num_timesteps)
            output.write(shown, dict.fromkeys(shown, ()), self.num_timesteps)

    @property
    def boards(self) -> list[SummaryWriter]:
        """The TensorBoard writers of SB3's logger."""
        outputs = self.logger.output_formats
        return [o.writer for o in outputs if isinstance(o, TensorBoardOutputFormat)]

    def take_agent(self) -> Agent:
        """Copy the current agent, with the names that the user gives."""
        return take_snapshot(self.model, self.names)

    def expected_seconds(self) -> float:
        """Estimate the seconds of the first :meth:`work`, for example by trying a part of it."""
        return 0.0

    # --- what SB3 calls ---------------------------------------------------------------------

    def _on_training_start(self) -> None:
        self._began = time.perf_counter()
        self.spent, self.worked, self._failures, self._expected = 0.0, [], 0, None
        self._due = math.inf
        if self.every is not None:
            self._due = (self.num_timesteps // self.every + 1) * self.every
        self._running, self.ending, self.folder = True, False, None
        if self.parent is not None:
            self._stay_inactive()
        elif not (self._run_guarded(self._begin) and self._run_guarded(self._claim_folder)):
            self._running = False  # a failure at the start would repeat itself

    def _on_step(self) -> bool:
        if self.parent is not None:
            self._stay_inactive()
        self._run_guarded(self._look)
        # the last explanation is made at the end: the model may learn once more after this step
        before_end = self.num_timesteps < self.model._total_timesteps
        if self.active and self.num_timesteps >= self._due and before_end and self.ready:
            failures = self._failures
            affordable = self._run_guarded(self._is_affordable)
            if affordable:
                self._work()
            if affordable or self._failures > failures:
                assert self.every is not None
                self._due = (self.num_timesteps // self.every + 1) * self.every
        return True

    def _stay_inactive(self) -> None:
        """Stay inactive inside another callback, which skips steps and the end of the training."""
        if not self._refused:
            log.warning(
                "%s is inactive inside %s: pass it to learn() directly",
                type(self).__name__, type(self.parent).__name__,
            )  # fmt: skip
        self._refused, self._running = True, False

    def _on_training_end(self) -> None:
        # rl-zoo3 calls this a second time
        if not self._running:
            return
        self.ending, failures = True, self._failures
        if self._run_guarded(self._is_affordable):
            self._work()
        elif self.active and self._failures == failures:
            log.warning(
                "%s: no time left for it after %.0f s of training (budget=%g): give a larger "
                "budget", type(self).__name__, self.training_seconds, self.budget,
            )  # fmt: skip
        self._running = False
        self._remove_empty_folder()

    def _remove_empty_folder(self) -> None:
        if self.folder is not None and self.folder.exists() and not any(self.folder.iterdir()):
            with suppress(OSError):
                self.folder.rmdir()

    @property
    def beginning(self) -> int:
        """Number of timesteps before the first explanation."""
        last = min(self.model._total_timesteps, self._due)
        return max(1, int(last) - self.num_timesteps)

    # --- time -------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the callback works at all: it stops after too many consecutive failures."""
        return self._running and self._failures < MOST_FAILURES

    @property
    def training_seconds(self) -> float:
        """Seconds since the training started, without those of this callback."""
        return (self._since or time.perf_counter()) - self._began - self.spent

    @property
    def seconds_left(self) -> float:
        """Seconds that the budget leaves, less those of the work in progress."""
        now = time.perf_counter()
        return self.budget * self.training_seconds - self.spent - (now - (self._since or now))

    def _is_affordable(self) -> bool:
        if self.seconds_left <= 0:
            return False
        if self._expected is None and not (self.limits_itself or math.isinf(self.budget)):
            with preserve_random_state(self.model.device):
                self._expected = self.expected_seconds()
        return MARGIN * (self._expected or 0.0) <= self.seconds_left

    def _begin(self) -> bool:
        with preserve_random_state(self.model.device):
            self.begin(self.take_agent())
        return True

    def _look(self) -> bool:
        self.watch(read_step(self.model, self.locals))
        return True

    def _work(self) -> None:
        began = time.perf_counter()

        def once() -> bool:
            assert self.folder is not None
            with preserve_random_state(self.model.device):
                self.work(self.folder)
            return True

        if self._run_guarded(once):
            self._failures = 0
            self.worked.append(self.num_timesteps)
            if self.verbose:
                print(f"{type(self).__name__}: {self.num_timesteps} timesteps, {self.folder}")
        if not self.limits_itself:
            self._expected = time.perf_counter() - began

    # --- errors and traces ------------------------------------------------------------------

    def _run_guarded(self, act: Callable[[], bool]) -> bool:
        """Call a function, log its failure, and count its time.

        :return: what ``act`` returns; ``False`` after a failure, or if the callback is not active
        """
        if not self.active:
            return False
        self._since = began = time.perf_counter()
        try:
            return act()
        except Exception as error:
            if self.on_error == "raise":
                raise
            self._failures += 1
            if isinstance(error, ExplainError):
                said = str(error)
            else:
                log.debug("failed", exc_info=True)
                said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            gone = "" if self.active and self.folder else " without it"
            log.warning("%s: %s; the training goes on%s", type(self).__name__, said, gone)
            return False
        finally:
            self.spent += time.perf_counter() - began
            self._since = None

    def _claim_folder(self) -> bool:
        if self.given_folder:
            base = Path(self.given_folder)
        else:
            base = find_results_folder(self.model, self.locals.get("callback"))
        try:
            self.folder = claim_folder(base, self.kind)
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
            raise ExplainError(f"{base} cannot be written: choose another folder") from error
        return True


@contextmanager
def preserve_random_state(device: torch.device) -> Iterator[None]:
    """Restore all global random states at the end of the context.

    :param device: device of the model
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    threads = torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
            torch.set_num_threads(threads)
