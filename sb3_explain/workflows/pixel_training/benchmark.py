"""The paper's benchmarks: train, evaluate in every mode, compare with the paper.

Bertoin et al. (2022): tables 1 and 2 (DMControl generalisation) and table 6 (the robot study).
Finished trainings and evaluations are stored, so that the same call continues where it was stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pandas as pd
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from tqdm import tqdm

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import atomic_path, write_json
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.schema import array, flag, number, read_document, record
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import picture_rows
from sb3_explain.report.training_curves import Curve, curves_figure
from sb3_explain.sgqn import PixelSAC
from sb3_explain.workflows.pixel_training.recipes import (
    RECIPES,
    get_quantile,
    require_known,
    select_settings,
)
from sb3_explain.workflows.pixel_training.run_folder import read_run
from sb3_explain.workflows.pixel_training.saliency_pictures import SHOWN, draw_saliency_rows
from sb3_explain.workflows.pixel_training.suites import DMC, ROBOT, Suite
from sb3_explain.workflows.pixel_training.table import write_table
from sb3_explain.workflows.pixel_training.training import TEST_SEED, make_env, make_plain, train

_EPISODES = record(
    {"asked": record({}), "returns": array(number(), shortest=1)}, {"successes": array(flag)}
)


class Episodes(NamedTuple):
    """What an evaluation measured.

    :param returns: undiscounted return of each episode
    :param successes: whether each was a success at its end; empty where the task does not say
    """

    returns: list[float]
    successes: list[bool]


def run_dmc(
    output: str | Path,
    *,
    algos: Sequence[str] = ("sac", "drq", "rad", "soda", "svea", "sgqn"),
    tasks: Sequence[str] = DMC.tasks,
    modes: Sequence[str] = ("train", "video_easy", "video_hard"),
    timesteps: int = DMC.timesteps,
    backgrounds: str | Path | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Run the DMControl generalisation benchmark, see :func:`run_suite` for further options.

    :param output: folder for everything that is written
    :param algos: names of :data:`sb3_explain.workflows.pixel_training.RECIPES`
    :param tasks: names of the benchmark's tasks
    :param modes: modes of the environment to evaluate in
    :param timesteps: number of timesteps of a training
    :param backgrounds: folder of the background videos, as the environments take it
    :param options: further options of :func:`run_suite`
    :return: a row for each algorithm, task, seed and mode, with the mean return
    :raises ExplainError: for an unknown name, missing videos, or a folder of another benchmark
    """
    return run_suite(
        DMC, output, algos=algos, tasks=tasks, modes=modes, timesteps=timesteps,
        test_kwargs={"background_folder": backgrounds}, **options,
    )  # fmt: skip


def run_robot(
    output: str | Path,
    *,
    algos: Sequence[str] = ("sac", "soda", "svea", "sgqn"),
    tasks: Sequence[str] = ROBOT.tasks,
    modes: Sequence[str] = ROBOT.modes,
    timesteps: int = ROBOT.timesteps,
    env_kwargs: Mapping[str, Any] | None = None,
    assets: str | Path | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Run the robot study, see :func:`run_suite` for further options.

    :param output: folder for everything that is written
    :param algos: names of :data:`sb3_explain.workflows.pixel_training.RECIPES`
    :param tasks: names of the tasks
    :param modes: modes of the environment to evaluate in
    :param timesteps: number of timesteps of a training
    :param env_kwargs: further arguments of the environments
    :param assets: folder of the authors' meshes and textures, as the environments take it
    :param options: further options of :func:`run_suite`
    :return: a row for each algorithm, task, seed and mode, with mean return and success rate
    :raises ExplainError: for an unknown name, missing files, or a folder of another benchmark
    """
    drawn = {} if assets is None else {"assets": assets}
    return run_suite(
        ROBOT, output, algos=algos, tasks=tasks, modes=modes, timesteps=timesteps,
        env_kwargs={**(env_kwargs or {}), **drawn}, **options,
    )  # fmt: skip


def run_suite(
    suite: Suite,
    output: str | Path,
    *,
    algos: Sequence[str],
    tasks: Sequence[str],
    modes: Sequence[str],
    timesteps: int,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n_episodes: int = 30,
    env_kwargs: Mapping[str, Any] | None = None,
    test_kwargs: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    part: int = 5000,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and evaluate what is still missing, and write tables and pictures.

    The folder gets ``runs/`` (one agent each), ``results/`` (returns in each mode),
    ``returns.csv``, ``table.md``, ``curves.png`` and ``saliency_<task>.png``.

    :param suite: benchmark to run
    :param output: folder for everything that is written
    :param algos: names of :data:`sb3_explain.workflows.pixel_training.RECIPES`
    :param tasks: names of the benchmark's tasks
    :param modes: modes of the environment to evaluate in
    :param timesteps: number of timesteps of a training
    :param seeds: random seeds, one for each training of an algorithm on a task
    :param n_episodes: number of episodes of an evaluation
    :param env_kwargs: further arguments of the environments, e.g. ``action_repeat``
    :param test_kwargs: further arguments of the environments that agents are evaluated in
    :param settings: settings of the algorithms, in place of those of the recipes
    :param part: number of timesteps between two checkpoints
    :param progress: show progress bars
    :return: a row for each algorithm, task, seed and mode, with the mean return, and the success
        rate where the environment has one
    :raises ExplainError: for an unknown name, missing files, or a folder of another benchmark
    """
    output = Path(output)
    require_known(settings or {}, algos)
    for kind, names, known in (("task", tasks, suite.tasks), ("mode", modes, suite.modes)):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    if n_episodes < 1 or not (algos and tasks and seeds and modes):
        raise ExplainError("name an algorithm, a task, a seed, a mode and an episode at least")
    kwargs = dict(env_kwargs or {})
    testing = {**kwargs, **(test_kwargs or {})}
    for mode in modes:  # missing files are an error now, not after the training
        make_env(suite.get_id(tasks[0], mode), 84, testing).close()
    rows: list[dict[str, Any]] = []
    curves: dict[tuple[str, str, int], Curve] = {}
    models: dict[str, dict[str, PixelSAC]] = {task: {} for task in tasks}
    for task, algo, seed in product(tasks, algos, seeds):
        name = f"{algo}-{task}-{seed}"
        folder = output / "runs" / name
        usual = {"saliency_quantile": get_quantile(task), **(settings or {})}
        model = train(
            algo, suite.get_id(task, "train"), folder, timesteps=timesteps, seed=seed, part=part,
            env_kwargs=kwargs, settings=select_settings(usual, algo), progress=progress,
        )  # fmt: skip
        curves[task, algo, seed] = read_run(folder)["curve"]
        models[task].setdefault(algo, model)
        asked = {
            "n_episodes": n_episodes,
            "env_kwargs": make_plain(testing),
            "model": hash_file(folder / "model.zip"),
        }
        for mode in modes:
            path = output / "results" / f"{name}-{mode}.json"
            played = read_episodes(path, asked)
            if played is None:
                env = make_env(suite.get_id(task, mode), RECIPES[algo].size, testing)
                with progress_bar(f"{name} {mode}", n_episodes, "episodes", progress) as bar:
                    played = play_episodes(model, env, n_episodes, TEST_SEED + seed, bar)
                write_json(path, {"asked": asked, **played._asdict()})
            row = {"task": task, "mode": mode, "algo": algo, "seed": seed}
            row["return"] = float(np.mean(played.returns))
            if played.successes:
                row["success"] = float(np.mean(played.successes))
            rows.append(row)
        model.get_env().close()  # type: ignore[union-attr]
    results = pd.DataFrame(rows)
    with atomic_path(output / "returns.csv") as path:
        results.to_csv(path, index=False)
    with atomic_path(output / "table.md") as path:
        path.write_text(
            f"{write_table(results, suite)}\nOurs: {timesteps} timesteps, {len(seeds)} seeds, "
            f"{n_episodes} episodes, environment {make_plain(kwargs) or 'as it is'}, "
            f"{name_augmentation(suite, settings or {})}. The paper: {suite.timesteps} timesteps, "
            "5 seeds, 30 episodes.\n",
            encoding="utf-8",
        )
    save(output / "curves.png", curves_figure(curves))
    for task, trained in models.items():
        pictures = draw_saliency_rows(trained, suite, task, modes, testing, seed=TEST_SEED)
        title = f"{task}, {SHOWN} states each of {', '.join(modes)} (from left to right)"
        save(output / f"saliency_{task}.png", picture_rows(pictures, title=title))
    return results


def name_augmentation(suite: Suite, settings: Mapping[str, Any]) -> str:
    """Say what states are augmented with, and whether this is the paper's."""
    if {**suite.settings, **settings}.get("strong_augmentation") == "convolution":
        return "random convolutions"
    overlays = settings.get("overlays") or "procedural textures, not the protocol's"
    return f"overlays: {overlays}"


def read_episodes(path: Path, asked: Mapping[str, Any]) -> Episodes | None:
    """Read what an earlier evaluation measured.

    :param path: path of the file
    :param asked: model, episodes and environment of the evaluation
    :return: the episodes; ``None`` if there are none, or of another evaluation
    """
    if not path.exists():
        return None
    stored = read_document(path, _EPISODES, "delete it to evaluate anew")
    if stored["asked"] != asked:
        return None
    return Episodes(stored["returns"], stored.get("successes", []))


def play_episodes(
    model: PixelSAC, env: gym.Env[Any, Any], n_episodes: int, seed: int, bar: tqdm[Any]
) -> Episodes:
    """Play episodes by the deterministic policy, and close the environment."""
    successes: list[bool] = []

    def count(local: dict[str, Any], _: dict[str, Any]) -> None:
        bar.update(int(local["done"]))
        if local["done"] and "is_success" in local["info"]:
            successes.append(bool(local["info"]["is_success"]))

    playing = DummyVecEnv([lambda: Monitor(env)])
    playing.seed(seed)
    returns, _ = evaluate_policy(
        model, playing, n_episodes, deterministic=True, return_episode_rewards=True, callback=count
    )
    playing.close()
    return Episodes(list(returns), successes)  # type: ignore[arg-type]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
