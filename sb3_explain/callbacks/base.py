"""The base of all callbacks: schedule, time budget, folder, error handling.

A callback works on a copy of the agent. The model, all random states and the weights that are
learned are the same with and without it, bit for bit.
"""

from __future__ import annotations

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import TensorBoardOutputFormat
from torch.utils.tensorboard import SummaryWriter

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.folders import claim_folder, find_results_folder
from sb3_explain.callbacks.running_episodes import RunningEpisodes
from sb3_explain.callbacks.schedule import Schedule, name_some
from sb3_explain.callbacks.suggested_every import suggest_every
from sb3_explain.callbacks.tensorboard import FPS, WIDTH, write_picture
from sb3_explain.callbacks.trackers import Tracker, find_trackers
from sb3_explain.callbacks.training_states import Step, read_raw, read_step, take_snapshot
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import writing_to
from sb3_explain.common.numbers import parse_number, require_whole
from sb3_explain.common.random_state import preserve_random_state
from sb3_explain.common.signatures import require_arguments
from sb3_explain.envs.feature_names import FeatureNames
from sb3_explain.envs.given_action_names import ActionNames
from sb3_explain.report.gif import encode_gif
from sb3_explain.report.video import read_frames

log = logging.getLogger(__name__)

#: number of consecutive failures after which a callback stops working
MOST_FAILURES = 3
#: factor by which work may take longer than the last time, and still keep to the budget
MARGIN = 1.25
ON_ERROR = ("log", "raise")


class ExplainCallback(BaseCallback):
    """A callback that explains the agent at intervals, within a share of the training's time.

    A subclass defines ``kind``, :meth:`work` and, if it needs states, :meth:`watch`. Errors of its
    work are logged in one line, and the training continues. The first explanation and that of the
    final agent are made whatever they take, the others within the budget. When they were made, what
    the budget postponed or left out and what all took is printed at the end, and is in
    ``schedule.json`` of the folder.

    :param every: number of timesteps, of all environments together, between two explanations;
        ``None`` for one at the end of the training. There is one at the end in any case
    :param folder: parent of the folder that is written to, which is a new one for each training:
        ``saliency``, ``saliency_2``, ...; ``None`` for that of the training's own results, see
        :func:`sb3_explain.callbacks.folders.find_results_folder`
    :param budget: largest duration of the work, as a share of the training's own. Work that would
        exceed it is postponed, but for the first and that of the final agent. ``None`` for no limit
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

    def __new__(cls, *given: Any, **named: Any) -> Self:
        """Refuse ``callback=SaliencyCallback``: SB3 calls what is no instance with two dicts."""
        if len(given) == 2 and all(isinstance(each, dict) for each in given):
            name = cls.__name__
            raise ExplainError(f"callback={name} is a class: give an instance, callback={name}()")
        return super().__new__(cls)

    def __init__(
        self,
        every: int | None,
        folder: str | Path | None = None,
        *,
        budget: float | None,
        on_error: str = "log",
        seed: int | None = 0,
        verbose: int = 0,
        action_names: ActionNames | None = None,
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
        #: what had to wait for the budget
        self.schedule = Schedule(self.every)
        self._expected = 0.0
        self._failures = 0
        self._running = self._refused = False
        self._began = self._due = math.inf
        self._first = 0
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
        """Log numbers at the current timestep to all outputs of SB3's logger and to open trackers.

        They are written at once, and do not affect what SB3 has recorded for its next dump.

        :param values: name -> number
        """
        for output in self.logger.output_formats:
            shown = dict(values)
            if not isinstance(output, TensorBoardOutputFormat):
                shown["time/total_timesteps"] = float(self.num_timesteps)
            output.write(shown, dict.fromkeys(shown, ()), self.num_timesteps)
        for tracker in self.trackers:
            tracker.log(values, self.num_timesteps)

    def show(self, files: Mapping[str, Path]) -> None:
        """Show pictures and videos in TensorBoard and in open trackers.

        :param files: name -> PNG or MP4 file
        """
        named = {f"{self.kind}/{name}": path for name, path in files.items()}
        for writer in self.boards:
            for name, path in named.items():
                video = path.suffix == ".mp4"
                encoded = encode_gif(read_frames(path), FPS, WIDTH) if video else path.read_bytes()
                write_picture(writer, name, encoded, self.num_timesteps)
            writer.flush()
        for tracker in self.trackers:
            tracker.log(named, self.num_timesteps)

    @property
    def boards(self) -> list[SummaryWriter]:
        """The TensorBoard writers of SB3's logger."""
        outputs = self.logger.output_formats
        return [o.writer for o in outputs if isinstance(o, TensorBoardOutputFormat)]

    @property
    def trackers(self) -> list[Tracker]:
        """Open runs of W&B and Trackio that do not read TensorBoard themselves."""
        return find_trackers(tensorboard=bool(self.boards))

    def take_agent(self) -> Agent:
        """Copy the current agent, with the names that the user gives."""
        return take_snapshot(self.model, self.names)

    # --- what SB3 calls ---------------------------------------------------------------------

    def _on_training_start(self) -> None:
        self._began = time.perf_counter()
        self.spent, self.worked, self._failures, self._expected = 0.0, [], 0, 0.0
        self.schedule = Schedule(self.every)
        self._episodes = RunningEpisodes(self.model.n_envs, fresh=self.num_timesteps == 0)
        self._due, self._first = math.inf, self.num_timesteps
        if self.every is not None:
            self._due = (self.num_timesteps // self.every + 1) * self.every
        self._running, self.ending, self.folder = True, False, None
        self._raw = read_raw(self.model)
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
        due = self.active and self.num_timesteps >= self._due and before_end and self.ready
        if due and not self._is_affordable():
            self.schedule.wait(self.num_timesteps)
        elif due:
            self._work()
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
        self.ending = True
        self._work()
        self._say_cost()
        self._run_guarded(self._write_schedule)
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
        """Whether work before the end keeps to the budget; the first is made in any case.

        The explanation of the final agent is made in any case, too, so its time is set aside.
        """
        return not self.worked or (MARGIN + 1) * self._expected <= self.seconds_left

    def _say_cost(self) -> None:
        """Print what the work has taken, in one line."""
        if not self.worked:
            return  # the log says why
        failed = self.worked[-1] != self.num_timesteps
        last = "; none of the final agent, which could not be explained" if failed else ""
        trained, more = self.num_timesteps - self._first, ""
        if self.every is not None and self.every >= trained > 1:  # one, at the end
            more = f"; {suggest_every(trained, self.share, self.budget)}"
        waited = self.schedule.describe(len(self.worked), self.share, self.budget)
        at = name_some([f"{timesteps:,}" for timesteps in self.worked])
        times = f"{len(self.worked)} time{'s' * (len(self.worked) > 1)}, after {at} timesteps"
        print(
            f"{type(self).__name__}: {times}, {self.spent:.1f} s, {self.share:.1%} of the "
            f"training's {self.training_seconds:.0f} s; see {self.folder}{last}{waited}{more}"
        )

    @property
    def share(self) -> float:
        """What this callback has taken, as a share of the training's own time."""
        return self.spent / max(self.training_seconds, 1e-9)

    def _write_cost(self) -> bool:
        cost = {f"{self.kind}/seconds": self.spent, f"{self.kind}/share_of_training": self.share}
        with preserve_random_state(self.model.device):
            for writer in self.boards:
                for name, value in cost.items():
                    writer.add_scalar(name, value, self.num_timesteps)
                writer.flush()
            for tracker in self.trackers:
                tracker.log(cost, self.num_timesteps)
        return True

    def _write_schedule(self) -> bool:
        if self.worked:
            assert self.folder is not None
            budget = self.budget if math.isfinite(self.budget) else None
            cost = {"budget": budget, "seconds": self.spent, "share_of_training": self.share}
            self.schedule.write(self.folder, self.worked, cost)
        return True

    def _begin(self) -> bool:
        with preserve_random_state(self.model.device):
            self.begin(self.take_agent())
        return True

    def _look(self) -> bool:
        step = read_step(self.model, self.locals, self._raw)
        self._raw = read_raw(self.model)
        self.watch(self._episodes.number(step))
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
            if not self.ending:
                self.schedule.make(self.num_timesteps)
            if self.verbose:
                print(f"{type(self).__name__}: {self.num_timesteps} timesteps, {self.folder}")
            self._run_guarded(self._write_cost)
        self._expected = 0.0 if self.limits_itself else time.perf_counter() - began

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
        with writing_to(base):
            self.folder = claim_folder(base, self.kind)
        return True
