"""The folder of a training: its learning curve, one checkpoint, and the model at the end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.common.checkpoints import require_same_training
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_folder, atomic_path
from sb3_explain.common.schema import array, number, optional, read_document, record, whole
from sb3_explain.common.untrusted import one_line
from sb3_explain.sgqn import PixelSAC
from sb3_explain.sgqn.replay_buffer import FrameStackReplayBuffer
from sb3_explain.workflows.pixel_training.recipes import Recipe

#: file of the replay buffer's frames
FRAMES = "frames.bin"


_RUN = record(
    {
        "identity": record({}),
        "curve": array(
            record({"steps": whole(1), "return": optional(number()), "seconds": number(0)})
        ),
    }
)


def read_run(folder: Path) -> dict[str, Any]:
    """Read ``run.json``: the settings of a run, and its learning curve so far.

    :raises ExplainError: if it is missing or damaged
    """
    run: dict[str, Any] = read_document(folder / "run.json", _RUN, f"delete {folder}")
    return run


def read_curve(folder: Path, identity: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the learning curve of a run so far.

    :raises ExplainError: if the folder holds another run
    """
    if not (folder / "run.json").exists():
        return []
    run = read_run(folder)
    require_same_training(folder, run["identity"], identity)
    curve: list[dict[str, Any]] = run["curve"]
    return curve


def save_checkpoint(model: BaseAlgorithm, folder: Path, steps: int) -> None:
    """Save a checkpoint atomically."""
    with atomic_folder(folder / f"checkpoint-{steps}") as place:
        model.save(place / "model.zip")
        model.save_replay_buffer(place / "replay_buffer.pkl")  # type: ignore[attr-defined]


def delete_checkpoints(folder: Path, steps: int) -> None:
    """Delete all checkpoints except that of these steps."""
    for place in folder.glob("checkpoint-*"):
        if place.name != f"checkpoint-{steps}":
            shutil.rmtree(place)


def load_model(recipe: Recipe, path: Path, env: gym.Env[Any, Any]) -> PixelSAC:
    """Load a model.

    :raises ExplainError: if the file is damaged
    """
    try:
        return recipe.algorithm.load(path, env=env)
    except ExplainError:
        raise
    # SB3 raises many kinds of exceptions for damaged files
    except Exception as error:
        raise ExplainError(f"{path} is damaged ({one_line(error)}): delete its folder") from error


def load_checkpoint(recipe: Recipe, place: Path, env: gym.Env[Any, Any]) -> PixelSAC:
    """Load the model of a checkpoint, with its replay buffer.

    :raises ExplainError: if the checkpoint is missing or damaged
    """
    model = load_model(recipe, place / "model.zip", env)
    try:
        model.load_replay_buffer(place / "replay_buffer.pkl")
    except Exception as error:  # as above
        raise ExplainError(
            f"{place} is damaged ({one_line(error)}): delete {place.parent}"
        ) from error
    if isinstance(model.replay_buffer, FrameStackReplayBuffer):
        # the folder may have been moved
        model.replay_buffer.file = place.parent / FRAMES
    return model


def finish(model: BaseAlgorithm, folder: Path) -> None:
    """Save the final model, and delete what is only needed to resume."""
    with atomic_path(folder / "model.zip") as path, path.open("wb") as file:
        model.save(file)
    model.replay_buffer = None  # type: ignore[attr-defined]
    clear(folder)


def clear(folder: Path) -> None:
    """Delete what is only needed to resume."""
    delete_checkpoints(folder, -1)
    (folder / FRAMES).unlink(missing_ok=True)
