"""Stand-ins for the packages wandb and trackio, with the part of their interface that is used."""

import contextvars
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch


class Media:
    """A picture or video by its path, as both packages take it; they read it when it is made."""

    def __init__(self, value, caption=None):
        self.content = Path(value).read_bytes()
        self.kind = Path(value).suffix


class FormattedVideo(Media):
    """wandb.Video, whose older versions need the format of a path."""

    def __init__(self, data_or_path, caption=None, fps=None, format=None):
        super().__init__(data_or_path, caption)
        assert format == self.kind[1:]


def draw():
    """Use global random numbers, as a package may for its names."""
    np.random.rand(3)  # noqa: NPY002
    torch.rand(3)


def install_wandb(monkeypatch, *, sync_tensorboard=False, run=True):
    """Install a module ``wandb`` with an open run, and return it; ``rows`` is what it keeps."""
    wandb = ModuleType("wandb")
    wandb.Image, wandb.Video = Media, FormattedVideo
    wandb.patched = {"tensorboard": [["writer"]] if sync_tensorboard else []}
    wandb.rows = []
    settings = SimpleNamespace(sync_tensorboard=sync_tensorboard)
    wandb.run = SimpleNamespace(step=0, settings=settings) if run else None

    def log(data, step=None, commit=None):
        draw()
        if step is not None:
            assert not sync_tensorboard, "steps cannot be given while TensorBoard is read"
            if step < wandb.run.step:
                return  # as W&B does, with a warning
            wandb.run.step = step
        wandb.rows.append((step, dict(data)))

    wandb.log = log
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return wandb


def install_trackio(monkeypatch, *, run=True):
    """Install a module ``trackio`` with an open run, and return it; ``rows`` is what it keeps."""
    trackio, state = ModuleType("trackio"), ModuleType("trackio.context_vars")
    state.current_run = contextvars.ContextVar("current_run", default=None)
    if run:
        state.current_run.set(object())
    trackio.context_vars, trackio.Image, trackio.Video, trackio.rows = state, Media, Media, []

    def log(metrics, step=None):
        draw()
        if state.current_run.get() is None:
            raise RuntimeError("Call trackio.init() before trackio.log().")
        trackio.rows.append((step, dict(metrics)))

    trackio.log = log
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    monkeypatch.setitem(sys.modules, "trackio.context_vars", state)
    return trackio
