"""What the callbacks share: when they work, how long they may, where they write, what they leave.

A callback works on a copy of the agent. It leaves the model, its random state and what it learns
as they are without it, bit for bit.
"""

from __future__ import annotations

import logging
import math
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import TensorBoardOutputFormat
from torch.utils.tensorboard import SummaryWriter

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.arguments import number, whole
from sb3_explain.callbacks.folders import claim_folder, results_folder
from sb3_explain.callbacks.training_states import Step, read_step, snapshot_of
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import NOT_WRITABLE
from sb3_explain.common.signatures import require_arguments

log = logging.getLogger(__name__)

#: failures in a row after which a callback works no more
MOST_FAILURES = 3
#: work may take so many times longer than the last time, and still keep to the budget
MARGIN = 1.25
ON_ERROR = ("log", "raise")


class ExplainCallback(BaseCallback):
    """A callback that explains the agent every so often, within a share of the training's time.

    A subclass has a ``kind``, :meth:`work`, and where it needs states :meth:`watch`. Whatever goes
    wrong inside is logged in one line, and the training goes on.

    :param every: timesteps between two times of work, of all environments together; ``None`` for
        the end of the training alone. The end is a time of work in any case
    :param folder: for all that is written, in a new folder of this callback's kind each training:
        ``saliency``, ``saliency_2``, ...; ``None`` for where the training's own results lie, see
        :func:`sb3_explain.callbacks.folders.results_folder`
    :param budget: seconds of work at most, as a share of the training's own seconds; work that is
        due waits until it fits. ``None`` for no limit
    :param on_error: ``"log"``, or ``"raise"`` to end the training
    :param seed: of whatever is drawn at random
    :param verbose: as in SB3; 1 to say what was written
    :raises ExplainError: for values out of range
    """

    #: name of its folder, and of what it logs
    kind: ClassVar[str]
    #: the work ends by itself when its time is over
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
        **unknown: Any,
    ) -> None:
        require_arguments(type(self), ExplainCallback, unknown)
        super().__init__(verbose)
        if on_error not in ON_ERROR:
            raise unknown_name("value of on_error", on_error, ON_ERROR)
        self.budget = math.inf if budget is None else number(budget)
        if not self.budget > 0:
            raise ExplainError(f"budget={budget!r}: give a positive share of the training's time")
        if folder is not None and not isinstance(folder, (str, Path)):
            raise ExplainError(f"folder={folder!r}: give a path")
        self.every = whole("every", every) if every is not None else None
        self.given_folder = folder
        self.on_error = on_error
        self.seed = whole("seed", 0 if seed is None else seed, least=0)
        #: where this training's files are written, once it has begun
        self.folder: Path | None = None
        #: seconds of this callback, of all it does
        self.spent = 0.0
        #: timesteps at which it has worked
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
        """Begin anew, for a training of this agent.

        :raises ExplainError: if the agent cannot be explained in this way
        """

    def watch(self, step: Step) -> None:
        """See what all environments show at this step."""

    @abstractmethod
    def work(self, folder: Path) -> None:
        """Explain the agent as it is now.

        :param folder: to write into
        """

    @property
    def ready(self) -> bool:
        """Whether there is enough to work on."""
        return True

    def write(self, values: dict[str, float]) -> None:
        """Log numbers at this timestep, wherever SB3's logger writes to.

        They do not wait for SB3's own next line, and leave what it has gathered for that alone.
        """
        for output in self.logger.output_formats:
            shown = dict(values)
            if not isinstance(output, TensorBoardOutputFormat):
                shown["time/total_timesteps"] = float(self.num_timesteps)
            output.write(shown, dict.fromkeys(shown, ()), self.num_timesteps)

    @property
    def boards(self) -> list[SummaryWriter]:
        """The TensorBoards that SB3's logger writes to."""
        outputs = self.logger.output_formats
        return [o.writer for o in outputs if isinstance(o, TensorBoardOutputFormat)]

    def expected_seconds(self) -> float:
        """What :meth:`work` will take, before it has been done once: by trying a part of it."""
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
            self._refuse()
        elif not (self._guarded(self._begin) and self._guarded(self._claim_folder)):
            self._running = False  # what cannot work now will not work later

    def _on_step(self) -> bool:
        if self.parent is not None:
            self._refuse()
        self._guarded(self._look)
        # the end is a time of its own: after this step the model may learn once more
        before_end = self.num_timesteps < self.model._total_timesteps
        if self.active and self.num_timesteps >= self._due and before_end and self.ready:
            failures = self._failures
            affordable = self._guarded(self._affordable)
            if affordable:
                self._work()
            if affordable or self._failures > failures:
                assert self.every is not None
                self._due = (self.num_timesteps // self.every + 1) * self.every
        return True

    def _refuse(self) -> None:
        """Work no more inside another callback, which leaves out steps and the end."""
        if not self._refused:
            log.warning(
                "%s works inside no %s: give it to learn() itself; the training goes on without it",
                type(self).__name__, type(self.parent).__name__,
            )  # fmt: skip
        self._refused, self._running = True, False

    def _on_training_end(self) -> None:
        # rl-zoo3 calls this a second time
        if not self._running:
            return
        self.ending, failures = True, self._failures
        if self._guarded(self._affordable):
            self._work()
        elif self.active and self._failures == failures:
            log.warning(
                "%s: no time for it at the end of %.0f s of training (budget=%g): give a larger "
                "budget", type(self).__name__, self.training_seconds, self.budget,
            )  # fmt: skip
        self._running = False
        self._leave_no_empty_folder()

    def _leave_no_empty_folder(self) -> None:
        if self.folder is not None and self.folder.exists() and not any(self.folder.iterdir()):
            with suppress(OSError):
                self.folder.rmdir()

    @property
    def beginning(self) -> int:
        """Timesteps before the first time of work."""
        last = min(self.model._total_timesteps, self._due)
        return max(1, int(last) - self.num_timesteps)

    # --- time -------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether it works at all: it stops after too many failures in a row."""
        return self._running and self._failures < MOST_FAILURES

    @property
    def training_seconds(self) -> float:
        """Seconds since the training began, without those of this callback."""
        return (self._since or time.perf_counter()) - self._began - self.spent

    @property
    def seconds_left(self) -> float:
        """What the budget leaves for work now, less what the present work has taken."""
        now = time.perf_counter()
        return self.budget * self.training_seconds - self.spent - (now - (self._since or now))

    def _affordable(self) -> bool:
        if self.seconds_left <= 0:
            return False
        if self._expected is None and not (self.limits_itself or math.isinf(self.budget)):
            with undisturbed(self.model.device):
                self._expected = self.expected_seconds()
        return MARGIN * (self._expected or 0.0) <= self.seconds_left

    def _begin(self) -> bool:
        with undisturbed(self.model.device):
            self.begin(snapshot_of(self.model))
        return True

    def _look(self) -> bool:
        self.watch(read_step(self.model, self.locals))
        return True

    def _work(self) -> None:
        began = time.perf_counter()

        def once() -> bool:
            assert self.folder is not None
            with undisturbed(self.model.device):
                self.work(self.folder)
            return True

        if self._guarded(once):
            self._failures = 0
            self.worked.append(self.num_timesteps)
            if self.verbose:
                print(f"{type(self).__name__}: {self.num_timesteps} timesteps, {self.folder}")
        if not self.limits_itself:
            self._expected = time.perf_counter() - began

    # --- errors and traces ------------------------------------------------------------------

    def _guarded(self, act: Callable[[], bool]) -> bool:
        """Do something whose failure is logged, and whose time is counted.

        :return: what ``act`` returns; False after a failure, or if there is nothing to do any more
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
            base = results_folder(self.model, self.locals.get("callback"))
        try:
            self.folder = claim_folder(base, self.kind)
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
            raise ExplainError(f"{base} cannot be written: choose another folder") from error
        return True


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Put every global random state back afterwards.

    :param device: of the model
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
