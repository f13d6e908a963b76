"""Runs of Weights & Biases and Trackio that a training has open, which pictures are logged to.

Neither is imported here: a run can be open only if the training has imported the package itself.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Tracker(ABC):
    """An open run of an experiment tracker, which shows numbers, pictures and videos.

    :param module: the package as the training has imported it
    """

    #: name of the package
    package: str

    def __init__(self, module: Any) -> None:
        self.module = module

    @abstractmethod
    def log(self, values: Mapping[str, float | Path], step: int) -> None:
        """Log numbers, and pictures and videos by the paths of their files.

        :param values: name -> number, or path of a PNG or MP4 file
        :param step: timestep of the training
        """

    def wrap(self, value: float | Path) -> Any:
        """Return what the package logs for a number, a picture or a video."""
        if not isinstance(value, Path):
            return value
        return self.module.Image(str(value))


class WandbRun(Tracker):
    """The open run of Weights & Biases.

    :param module: the package
    :param run: its open run
    """

    package = "wandb"

    def __init__(self, module: Any, run: Any) -> None:
        super().__init__(module)
        self.run = run

    @property
    def syncs_tensorboard(self) -> bool:
        """Whether it reads what is written to TensorBoard."""
        patched = getattr(self.module, "patched", None) or {}
        settings = getattr(self.run, "settings", None)
        asked = getattr(settings, "sync_tensorboard", False)
        return bool(asked or patched.get("tensorboard"))

    def wrap(self, value: float | Path) -> Any:
        """Return what W&B logs; it is told the format of a video, which older versions need."""
        if isinstance(value, Path) and value.suffix == ".mp4":
            return self.module.Video(str(value), format="mp4")
        return super().wrap(value)

    def log(self, values: Mapping[str, float | Path], step: int) -> None:
        """Log, at the present step where the training's own is past, which W&B would ignore."""
        wrapped = {name: self.wrap(value) for name, value in values.items()}
        # as W&B names the timestep of what it reads from TensorBoard
        wrapped["global_step"] = step
        if self.syncs_tensorboard:  # steps are its own then
            self.module.log(wrapped)
        else:
            self.module.log(wrapped, step=max(step, int(self.run.step)))


class TrackioRun(Tracker):
    """The open run of Trackio."""

    package = "trackio"

    def wrap(self, value: float | Path) -> Any:
        """Return what Trackio logs."""
        if isinstance(value, Path) and value.suffix == ".mp4":
            return self.module.Video(str(value))
        return super().wrap(value)

    def log(self, values: Mapping[str, float | Path], step: int) -> None:
        """Log at a timestep, in any order."""
        self.module.log({name: self.wrap(value) for name, value in values.items()}, step=step)


def find_trackers(*, tensorboard: bool) -> list[Tracker]:
    """Find the runs that are open in this process.

    :param tensorboard: whether the training writes to TensorBoard; a run that reads it is left out,
        so that nothing is logged twice
    """
    found: list[Tracker] = []
    wandb = sys.modules.get("wandb")
    if getattr(wandb, "run", None) is not None:
        run = WandbRun(wandb, wandb.run)  # type: ignore[union-attr]
        if not (tensorboard and run.syncs_tensorboard):
            found.append(run)
    trackio, state = sys.modules.get("trackio"), sys.modules.get("trackio.context_vars")
    current = getattr(state, "current_run", None)
    if trackio is not None and current is not None and current.get() is not None:
        found.append(TrackioRun(trackio))
    return found
