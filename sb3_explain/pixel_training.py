"""Training of SGQN and its baselines in parts, so that a run that was killed goes on.

A run is cut into parts of equal length. Each begins with seeds of its own and a fresh episode, and
ends with a checkpoint; so a run that was killed and goes on makes what an unbroken one makes.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from sb3_explain.atomic import read_json, write_json, writing_to
from sb3_explain.buffers import FrameStackReplayBuffer
from sb3_explain.checkpoints import require_same_training
from sb3_explain.envs.registered import register_environments
from sb3_explain.errors import ExplainError, unknown_name
from sb3_explain.loading.bounded import one_line
from sb3_explain.loading.policies import argument_names
from sb3_explain.progress import progress_bar
from sb3_explain.sgqn import RAD, SGQN, SODA, SVEA, DrQ, PixelSAC
from sb3_explain.store import sole_writer


class Recipe(NamedTuple):
    """A row of the papers' tables."""

    algorithm: type[PixelSAC]
    policy: str
    settings: dict[str, Any]
    #: pixels of a frame that its environment draws
    size: int = 84


RECIPES = {
    "sac": Recipe(PixelSAC, "PixelPolicy", {}),
    "drq": Recipe(DrQ, "PixelPolicy", {}),
    "rad": Recipe(RAD, "PixelPolicy", {}, 100),
    "soda": Recipe(SODA, "SODAPolicy", {}, 100),
    "svea": Recipe(SVEA, "PixelPolicy", {}),
    "svea_soda": Recipe(SODA, "SODAPolicy", {"overlaid_share": 0.5}, 100),
    "sac_consistency": Recipe(SGQN, "SGQNPolicy", {"n_aux": 0}),
    "sac_saliency": Recipe(SGQN, "SGQNPolicy", {"consistency_coef": 0.0}),
    "sgqn": Recipe(SGQN, "SGQNPolicy", {}),
}


def recipe_named(name: str) -> Recipe:
    """:raises ExplainError: for an unknown name; the nearest is suggested"""
    if name not in RECIPES:
        raise unknown_name("algorithm", name, RECIPES)
    return RECIPES[name]


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
    """Train an agent from pixels, or go on where an earlier call with this folder was stopped.

    The folder holds ``model.zip``, ``run.json`` (settings and the learning curve) and, while the
    run is not finished, a checkpoint and the frames of the replay buffer.

    :param algo: of :data:`RECIPES`
    :param env_id: gymnasium id of an environment of stacked images
    :param folder: of the run
    :param timesteps: decisions
    :param seed: of all chance
    :param part: decisions between two checkpoints; best a multiple of an episode's length
    :param env_kwargs: of the environment
    :param settings: of the algorithm, over those of the recipe
    :param progress: whether to show a bar
    :return: the trained model
    :raises ExplainError: for an unknown algorithm or environment, or a folder of another training
    """
    recipe = recipe_named(algo)
    require_known(settings or {}, [algo])
    folder = Path(folder)
    # rows enough that none is written over, also for the first frames of episodes
    rows = timesteps + timesteps // 50 + 3 * part
    n_rows = (settings or {}).get("buffer_size", rows)
    if n_rows < min(rows, 4 * part):
        raise ExplainError(
            f"buffer_size={n_rows} is too small for checkpoints of {part} decisions: give "
            f"{min(rows, 4 * part)} at least, or a smaller part"
        )
    env = make_env(env_id, recipe.size, env_kwargs)
    identity = {
        "algo": algo, "env": env_id, "timesteps": timesteps, "seed": seed, "part": part,
        "env_kwargs": plain(env_kwargs), "settings": plain(settings),
    }  # fmt: skip
    given = {
        "buffer_size": rows,
        "replay_buffer_kwargs": {"file": folder / "frames.npy"},
        **recipe.settings,
        # SB3 writes into the policy's arguments
        **copy.deepcopy(dict(settings or {})),
    }
    with sole_writer(folder):
        return trained(recipe, env, folder, identity, given, progress)


def trained(
    recipe: Recipe,
    env: gym.Env[Any, Any],
    folder: Path,
    identity: dict[str, Any],
    arguments: dict[str, Any],
    progress: bool,
) -> PixelSAC:
    """The model of a run, trained as far as it is not yet.

    :param identity: of the run
    :param arguments: of the algorithm
    """
    timesteps, seed, part = (identity[name] for name in ("timesteps", "seed", "part"))
    curve = begun(folder, identity)
    done = curve[-1]["steps"] if curve else 0
    model: PixelSAC
    if done >= timesteps and (folder / "model.zip").exists():
        clear(folder)
        return loaded(recipe, folder / "model.zip", env)
    if done:
        model = restored(recipe, folder / f"checkpoint-{done}", env)
    else:
        model = recipe.algorithm(recipe.policy, env, seed=seed, **arguments)
        # whoever loads the model and goes on elsewhere shall not write into this folder
        model.replay_buffer_kwargs.pop("file", None)
    title = f"{identity['algo']} {identity['env']}"
    with progress_bar(title, timesteps, "decisions", progress, done) as bar:
        while done < timesteps:
            begin = time.perf_counter()
            steps = min(part, timesteps - done)
            model.set_env(model.get_env(), force_reset=True)  # type: ignore[arg-type]
            model.set_random_seed(int(np.random.SeedSequence([seed, done]).generate_state(1)[0]))
            if isinstance(model.replay_buffer, FrameStackReplayBuffer):
                # what a run that was killed may have written over, an unbroken one does not use
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
            keep(model, folder, done)
            write_json(folder / "run.json", {"identity": identity, "curve": curve})
            forget(folder, done)
            bar.set_postfix({"return": curve[-1]["return"]})
    finish(model, folder)
    return model


class Watching(BaseCallback):
    """Moves a bar on by the decisions that were made, and keeps the returns of the episodes."""

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
    """The environment, drawn in the size that the algorithm needs where it can be chosen.

    :raises ExplainError: if there is no such environment
    """
    register_environments(env_id)
    kwargs = dict(env_kwargs or {})
    if env_id.startswith("DMCGB/"):
        kwargs.setdefault("size", size)
    try:
        return gym.make(env_id, **kwargs)
    except (gym.error.Error, TypeError) as error:
        raise ExplainError(f"environment {env_id!r} cannot be made ({error})") from error


def plain(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options as JSON has them.

    :raises ExplainError: for one that is a function or the like
    """

    def named(value: Any) -> str:
        if isinstance(value, Path):
            return str(value)
        raise ExplainError(
            f"{value!r} cannot be kept with a run: give numbers, names and lists, or call learn() "
            "yourself"
        )

    read: dict[str, Any] = json.loads(json.dumps(dict(options or {}), default=named))
    return read


def setting_names(algo: str) -> tuple[set[str], set[str]]:
    """What an algorithm can be given, and what its networks."""
    algorithm, policy, *_ = recipe_named(algo)
    return argument_names(algorithm), argument_names(algorithm.policy_aliases[policy])


def require_known(settings: Mapping[str, Any], algos: Sequence[str]) -> None:
    """Stop where a setting is none of these algorithms', or one of their networks'.

    :raises ExplainError: the nearest is suggested
    """
    known, networks = set[str](), set[str]()
    for algo in algos:
        of_algorithm, of_networks = setting_names(algo)
        known |= of_algorithm
        networks |= of_networks
    known -= {"self", "policy", "env", "seed", "replay_buffer_kwargs"}
    for name in settings:
        if name not in known or name.startswith("_"):
            raise unknown_name("setting", name, {k for k in known if k[0] != "_"})
    for name in settings.get("policy_kwargs", {}):
        if name not in networks:
            raise unknown_name("setting of the networks", name, networks)


def settings_for(settings: Mapping[str, Any], algo: str) -> dict[str, Any]:
    """Of settings for several algorithms those that this one knows."""
    known, networks = setting_names(algo)
    own = {name: value for name, value in settings.items() if name in known}
    if "policy_kwargs" in own:
        own["policy_kwargs"] = {n: v for n, v in own["policy_kwargs"].items() if n in networks}
    return own


def begun(folder: Path, identity: dict[str, Any]) -> list[dict[str, Any]]:
    """The learning curve of a run so far.

    :raises ExplainError: if the folder holds another run
    """
    if not (folder / "run.json").exists():
        return []
    run = read_json(folder / "run.json")
    require_same_training(folder, run["identity"], identity)
    curve: list[dict[str, Any]] = run["curve"]
    return curve


def keep(model: BaseAlgorithm, folder: Path, steps: int) -> None:
    """A checkpoint, whole or not there."""
    place = folder / f"checkpoint-{steps}"
    temporary = folder / f".checkpoint-{os.getpid()}.tmp"
    with writing_to(place):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        model.save(temporary / "model.zip")
        model.save_replay_buffer(temporary / "replay_buffer.pkl")  # type: ignore[attr-defined]
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)


def forget(folder: Path, steps: int) -> None:
    """Delete all checkpoints but that of these steps."""
    for place in folder.glob("checkpoint-*"):
        if place.name != f"checkpoint-{steps}":
            shutil.rmtree(place)


def loaded(recipe: Recipe, path: Path, env: gym.Env[Any, Any]) -> PixelSAC:
    """:raises ExplainError: if the file is damaged"""
    try:
        return recipe.algorithm.load(path, env=env)
    except ExplainError:
        raise
    # SB3 raises whatever the damage leads to
    except Exception as error:
        raise ExplainError(f"{path} is damaged ({one_line(error)}): delete its folder") from error


def restored(recipe: Recipe, place: Path, env: gym.Env[Any, Any]) -> PixelSAC:
    """The model at a checkpoint, with its replay buffer.

    :raises ExplainError: if the checkpoint is missing or damaged
    """
    model = loaded(recipe, place / "model.zip", env)
    try:
        model.load_replay_buffer(place / "replay_buffer.pkl")
    except Exception as error:  # as above
        raise ExplainError(
            f"{place} is damaged ({one_line(error)}): delete {place.parent}"
        ) from error
    if isinstance(model.replay_buffer, FrameStackReplayBuffer):
        # the folder may have been moved
        model.replay_buffer.file = place.parent / "frames.npy"
    return model


def finish(model: BaseAlgorithm, folder: Path) -> None:
    """The model at its place; what only going on needs is deleted."""
    temporary = folder / f".model.{os.getpid()}.zip"
    with writing_to(folder / "model.zip"):
        model.save(temporary)
        temporary.replace(folder / "model.zip")
    model.replay_buffer = None  # type: ignore[attr-defined]
    clear(folder)


def clear(folder: Path) -> None:
    """Delete what only going on needs."""
    forget(folder, -1)
    (folder / "frames.npy").unlink(missing_ok=True)
