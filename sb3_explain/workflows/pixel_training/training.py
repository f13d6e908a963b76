"""Training of SGQN and its baselines in parts, so that it can be resumed.

A run is cut into parts of equal length. Each begins with a random seed of its own and a fresh
episode, and ends with a checkpoint, so that a resumed run has the same result as an unbroken one.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import clear_temporary, sole_writer, write_json
from sb3_explain.common.progress import progress_bar
from sb3_explain.envs.registered import register_environments
from sb3_explain.sgqn import PixelSAC
from sb3_explain.sgqn.replay_buffer import FrameStackReplayBuffer
from sb3_explain.workflows.pixel_training.recipes import (
    Recipe,
    get_recipe,
    require_known,
    select_settings,
)
from sb3_explain.workflows.pixel_training.run_folder import (
    FRAMES,
    clear,
    delete_checkpoints,
    finish,
    load_checkpoint,
    load_model,
    read_curve,
    save_checkpoint,
)
from sb3_explain.workflows.pixel_training.suites import find_suite

#: seeds of test episodes begin here; those of training are below
TEST_SEED = 1_000_000


def train(
    algo: str,
    env_id: str,
    folder: str | Path,
    *,
    timesteps: int = 500_000,
    seed: int = 0,
    part: int = 5000,
    env_kwargs: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> PixelSAC:
    """Train an agent from pixels, or continue where an earlier call with this folder was stopped.

    The folder holds ``model.zip``, ``run.json`` (settings and the learning curve) and, while the
    run is not finished, a checkpoint and the frames of the replay buffer.

    :param algo: name of one of :data:`RECIPES`
    :param env_id: Gymnasium id of an environment of stacked images
    :param folder: folder of the run
    :param timesteps: number of timesteps to train for
    :param seed: random seed of the networks, the environment and the training
    :param part: number of timesteps between two checkpoints; best a multiple of an episode's length
    :param env_kwargs: arguments of the environment
    :param settings: settings of the algorithm, in place of those of the recipe
    :param progress: show a progress bar
    :return: the trained model
    :raises ExplainError: for an unknown algorithm or environment, or a folder of another training
    """
    recipe = get_recipe(algo)
    require_known(settings or {}, [algo])
    folder = Path(folder)
    # enough rows that none is overwritten, including the first frames of episodes
    rows = timesteps + timesteps // 50 + 3 * part
    n_rows = (settings or {}).get("buffer_size", rows)
    if n_rows < min(rows, 4 * part):
        raise ExplainError(
            f"buffer_size={n_rows} is too small for checkpoints of {part} timesteps: give "
            f"{min(rows, 4 * part)} at least, or a smaller part"
        )
    env = make_env(env_id, recipe.size, env_kwargs)
    identity = {
        "algo": algo, "env": env_id, "timesteps": timesteps, "seed": seed, "part": part,
        "env_kwargs": make_plain(env_kwargs), "settings": make_plain(settings),
    }  # fmt: skip
    suite = find_suite(env_id)
    given = {
        "buffer_size": rows,
        "replay_buffer_kwargs": {"file": folder / FRAMES},
        **(select_settings(suite.settings, algo) if suite else {}),
        **recipe.settings,
        # SB3 writes into the policy's arguments
        **copy.deepcopy(dict(settings or {})),
    }
    with sole_writer(folder):
        clear_temporary(folder)
        return train_run(recipe, env, folder, identity, given, progress)


def train_run(
    recipe: Recipe,
    env: gym.Env[Any, Any],
    folder: Path,
    identity: dict[str, Any],
    arguments: dict[str, Any],
    progress: bool,
) -> PixelSAC:
    """Train the model of a run for the timesteps that are missing.

    :param recipe: recipe of the algorithm
    :param env: environment to train in
    :param folder: folder of the run
    :param identity: arguments of :func:`train` that decide the result
    :param arguments: arguments of the algorithm
    :param progress: show a progress bar
    """
    timesteps, seed, part = (identity[name] for name in ("timesteps", "seed", "part"))
    curve = read_curve(folder, identity)
    done = curve[-1]["steps"] if curve else 0
    model: PixelSAC
    if done >= timesteps and (folder / "model.zip").exists():
        clear(folder)
        return load_model(recipe, folder / "model.zip", env)
    if done:
        model = load_checkpoint(recipe, folder / f"checkpoint-{done}", env)
    else:
        model = recipe.algorithm(recipe.policy, env, seed=seed, **arguments)
        # a model that is loaded and trained elsewhere must not write into this folder
        model.replay_buffer_kwargs.pop("file", None)
    title = f"{identity['algo']} {identity['env']}"
    with progress_bar(title, timesteps, "timesteps", progress, done) as bar:
        while done < timesteps:
            begin = time.perf_counter()
            steps = min(part, timesteps - done)
            model.set_env(model.get_env(), force_reset=True)  # type: ignore[arg-type]
            drawn = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
            model.set_random_seed(drawn % TEST_SEED)
            if isinstance(model.replay_buffer, FrameStackReplayBuffer):
                # a killed run may have overwritten these: an unbroken one must not use them
                model.replay_buffer.discard(2 * part)
            watching = Watching(bar)
            model.learn(steps, watching, reset_num_timesteps=False)
            done = model.num_timesteps  # more, where the model acts several times before it trains
            curve.append(
                {
                    "steps": done,
                    "return": float(np.mean(watching.returns)) if watching.returns else None,
                    "seconds": time.perf_counter() - begin,
                }
            )
            save_checkpoint(model, folder, done)
            write_json(folder / "run.json", {"identity": identity, "curve": curve})
            delete_checkpoints(folder, done)
            bar.set_postfix({"return": curve[-1]["return"]})
    finish(model, folder)
    return model


class Watching(BaseCallback):
    """Moves a progress bar by the timesteps, and stores the returns of the episodes.

    :param bar: progress bar of the training
    """

    def __init__(self, bar: tqdm[Any]) -> None:
        super().__init__()
        self.bar = bar
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        self.bar.update(self.training_env.num_envs)
        self.returns += [i["episode"]["r"] for i in self.locals["infos"] if "episode" in i]
        return True


def make_env(
    env_id: str, size: int, env_kwargs: Mapping[str, Any] | None = None
) -> gym.Env[Any, Any]:
    """Make an environment, with frames of the size that the algorithm needs where it has a choice.

    :raises ExplainError: if there is no such environment
    """
    register_environments(env_id)
    kwargs = dict(env_kwargs or {})
    if find_suite(env_id) is not None:
        kwargs.setdefault("size", size)
    try:
        return gym.make(env_id, **kwargs)
    except (gym.error.Error, TypeError) as error:
        raise ExplainError(f"environment {env_id!r} cannot be made ({error})") from error


def make_plain(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options as plain data, as JSON has them.

    :raises ExplainError: for one that is a function or the like
    """

    def named(value: Any) -> str:
        if isinstance(value, Path):
            return str(value)
        raise ExplainError(
            f"{value!r} cannot be saved with a run: give numbers, names and lists, or call learn() "
            "yourself"
        )

    read: dict[str, Any] = json.loads(json.dumps(dict(options or {}), default=named))
    return read
