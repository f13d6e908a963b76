"""The DMControl generalisation benchmark: train, evaluate in every mode, compare with the paper.

Bertoin et al. (2022), tables 1 and 2. Everything that is finished is kept, so that the same call
goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_explain.atomic import atomic_path, read_json, write_json
from sb3_explain.envs.dmc.ids import MODES, TASKS, env_id
from sb3_explain.errors import ExplainError, unknown_name
from sb3_explain.pixel_training import (
    RECIPES,
    make_env,
    plain,
    require_known,
    settings_for,
    train,
)
from sb3_explain.progress import progress_bar
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import picture_rows
from sb3_explain.report.training_curves import Curve, curves_figure
from sb3_explain.sgqn import SGQN, PixelSAC
from sb3_explain.sgqn.attribution import binarised

#: seeds of test episodes begin here, those of training below
TEST_SEED = 1_000_000
#: decisions of an episode whose states are shown, at equal distances
SHOWN = 4
#: rho of Bertoin et al. (2022), table 4, where it is not 0.95
QUANTILES = {"cartpole_swingup": 0.98, "ball_in_cup_catch": 0.98}


def run_dmc(
    output: str | Path,
    *,
    algos: Sequence[str] = ("sac", "drq", "rad", "soda", "svea", "sgqn"),
    tasks: Sequence[str] = TASKS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    modes: Sequence[str] = ("train", "video_easy", "video_hard"),
    timesteps: int = 500_000,
    n_episodes: int = 30,
    backgrounds: str | Path | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    part: int = 5000,
    progress: bool = True,
) -> pd.DataFrame:
    """Train what is not trained, evaluate what is not evaluated, and write tables and pictures.

    The folder gets ``runs/`` (an agent each), ``results/`` (returns per mode), ``returns.csv``,
    ``table.md``, ``curves.png`` and ``saliency_<task>.png``.

    :param output: folder for all that is made
    :param algos: of :data:`sb3_explain.pixel_training.RECIPES`
    :param tasks: of the benchmark
    :param seeds: a training each
    :param modes: to evaluate in
    :param timesteps: decisions of a training
    :param n_episodes: of an evaluation
    :param backgrounds: folder of the videos, as the environments take it
    :param env_kwargs: further arguments of the environments, e.g. ``action_repeat``
    :param settings: of the algorithms, over the recipes'
    :param part: decisions between two checkpoints
    :param progress: whether to show bars
    :return: a row for each algorithm, task, seed and mode, with the mean return
    :raises ExplainError: for an unknown name, missing videos, or a folder of another benchmark
    """
    output = Path(output)
    require_known(settings or {}, algos)
    for kind, names, known in (("task", tasks, TASKS), ("mode", modes, MODES)):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    if n_episodes < 1 or not (algos and tasks and seeds and modes):
        raise ExplainError("name an algorithm, a task, a seed, a mode and an episode at least")
    kwargs = dict(env_kwargs or {})
    testing = {**kwargs, "background_folder": backgrounds}
    for mode in modes:  # missing videos shall be said now, not after the training
        make_env(env_id(tasks[0], mode), 84, testing).close()
    rows: list[dict[str, Any]] = []
    curves: dict[tuple[str, str, int], Curve] = {}
    models: dict[str, dict[str, PixelSAC]] = {}
    for task in tasks:
        for algo in algos:
            usual = {"saliency_quantile": rho(task), **(settings or {})}
            for seed in seeds:
                name = f"{algo}-{task}-{seed}"
                model = train(
                    algo, env_id(task, "train"), output / "runs" / name, timesteps=timesteps,
                    seed=seed, part=part, env_kwargs=kwargs, progress=progress,
                    settings=settings_for(usual, algo),
                )  # fmt: skip
                curves[task, algo, seed] = read_json(output / "runs" / name / "run.json")["curve"]
                models.setdefault(task, {}).setdefault(algo, model)
                asked = {
                    "n_episodes": n_episodes,
                    "env_kwargs": plain(testing),
                    "model": digest(output / "runs" / name / "model.zip"),
                }
                for mode in modes:
                    path = output / "results" / f"{name}-{mode}.json"
                    returns = evaluated(
                        path, model, algo, task, mode, testing, seed, asked, progress
                    )
                    rows.append(
                        {"task": task, "mode": mode, "algo": algo, "seed": seed,
                         "return": float(np.mean(returns))}
                    )  # fmt: skip
                model.get_env().close()  # type: ignore[union-attr]
    results = pd.DataFrame(rows)
    with atomic_path(output / "returns.csv") as path:
        results.to_csv(path, index=False)
    with atomic_path(output / "table.md") as path:
        overlays = (settings or {}).get("overlays") or "procedural textures, not the protocol's"
        path.write_text(
            f"{table(results)}\nOurs: {timesteps} decisions, {len(seeds)} seeds, {n_episodes} "
            f"episodes, environment {plain(kwargs) or 'as it is'}, overlays: {overlays}. The "
            "paper: 500000 decisions, 5 seeds, 30 episodes.\n",
            encoding="utf-8",
        )
    save(output / "curves.png", curves_figure(curves))
    for task, trained in models.items():
        pictures = saliency_rows(trained, task, modes, testing)
        title = f"{task}, {SHOWN} states each of {', '.join(modes)} (from left to right)"
        save(output / f"saliency_{task}.png", picture_rows(pictures, title=title))
    return results


def evaluated(
    path: Path,
    model: PixelSAC,
    algo: str,
    task: str,
    mode: str,
    env_kwargs: Mapping[str, Any],
    seed: int,
    asked: dict[str, Any],
    progress: bool,
) -> list[float]:
    """Undiscounted returns of the deterministic policy, from the file or played now.

    :param asked: what the file must have been made of: model, episodes, environment
    """
    n_episodes = asked["n_episodes"]
    if path.exists():
        kept = read_json(path)
        if kept["asked"] == asked:
            returns: list[float] = kept["returns"]
            return returns
    env = DummyVecEnv(
        [lambda: Monitor(make_env(env_id(task, mode), RECIPES[algo].size, env_kwargs))]
    )
    env.seed(TEST_SEED + seed)
    with progress_bar(f"{algo} {task} {mode}", n_episodes, "episodes", progress) as bar:

        def count(local: dict[str, Any], _: dict[str, Any]) -> None:
            bar.update(int(local["done"]))

        returns, _ = evaluate_policy(  # type: ignore[assignment]
            model, env, n_episodes, deterministic=True, return_episode_rewards=True, callback=count
        )
    env.close()
    write_json(path, {"asked": asked, "returns": returns})
    return returns


def rho(task: str) -> float:
    """The paper's quantile for a task."""
    return QUANTILES.get(task, 0.95)


def digest(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- tables and pictures -------------------------------------------------------------------


def published() -> pd.DataFrame:
    """The paper's figures: mean and standard deviation of five seeds (tables 1 and 2)."""
    with resources.files("sb3_explain.envs.dmc").joinpath("published.csv").open() as file:
        return pd.read_csv(file)


def table(results: pd.DataFrame) -> str:
    """Markdown in the layout of the paper's tables: ours, and the paper's below in italics.

    :param results: as :func:`run_dmc` returns them; mean and standard deviation are over seeds
    """
    algos = [name for name in RECIPES if name in set(results["algo"])]
    paper = {(row.task, row.mode, row.algo): row for row in published().itertuples()}
    lines = [
        "| mode | task | | " + " | ".join(algos) + " |",
        "|---" * 3 + "|---:" * len(algos) + "|",
    ]
    for mode in [name for name in MODES if name in set(results["mode"])]:
        for task in [name for name in TASKS if name in set(results["task"])]:
            ours, theirs = [], []
            for algo in algos:
                some = results.query("task == @task and mode == @mode and algo == @algo")["return"]
                spread = f" ± {some.std(ddof=0):.0f}" if len(some) > 1 else ""
                ours.append(f"{some.mean():.0f}{spread}" if len(some) else "")
                row = paper.get((task, mode, algo))
                theirs.append("" if row is None else f"*{row.mean} ± {row.std}*")
            lines.append(f"| {mode} | {task} | ours | " + " | ".join(ours) + " |")
            lines.append("| | | *paper* | " + " | ".join(theirs) + " |")
    return "\n".join(lines) + "\n"


def saliency_rows(
    models: Mapping[str, PixelSAC],
    task: str,
    modes: Sequence[str],
    env_kwargs: Mapping[str, Any],
) -> dict[str, list[NDArray[np.uint8]]]:
    """For each algorithm states, side by side in every mode, and below what its critic looks at.

    ``true``: the attribution of Q1; ``mask``: the frame where it is binarised; ``predicted``: what
    an SGQN agent says itself.
    """
    rows: dict[str, list[NDArray[np.uint8]]] = {}
    for algo, model in models.items():
        for mode in modes:
            env = make_env(env_id(task, mode), RECIPES[algo].size, env_kwargs)
            states = played(model, env)
            env.close()
            frames = states[:, -3:].transpose(0, 2, 3, 1)
            shown = {"state": list(frames)}
            observations = torch.from_numpy(states).to(model.device)
            actions, _ = model.predict(states, deterministic=True)
            scaled = torch.from_numpy(model.policy.scale_action(actions)).to(model.device)
            attribution = model.policy.attribution(observations, scaled).cpu()
            quantile = model.saliency_quantile if isinstance(model, SGQN) else rho(task)
            mask = binarised(attribution, quantile, model.n_stack)[:, -3:].numpy()
            magnitudes = attribution.abs()[:, -3:].amax(1)
            bright = magnitudes.flatten(1).quantile(0.99, dim=1)[:, None, None] + 1e-12
            shown["true"] = grey((magnitudes / bright).numpy())
            shown["mask"] = list(np.where(mask.transpose(0, 2, 3, 1), frames, frames // 8 + 16))
            if isinstance(model, SGQN):
                _, predicted = model.predict_saliency(states)
                shown["predicted"] = grey(predicted[:, -3:].max(1))
            for name, pictures in shown.items():
                rows.setdefault(f"{algo}: {name}", []).extend(pictures)
    return rows


def played(model: PixelSAC, env: gym.Env[Any, Any]) -> NDArray[np.uint8]:
    """(SHOWN, C, H, W) states of one episode at equal distances."""
    states = [env.reset(seed=TEST_SEED)[0]]
    finished = False
    while not finished:
        action, _ = model.predict(states[-1], deterministic=True)
        state, _, terminated, truncated, _ = env.step(action)
        states.append(state)
        finished = terminated or truncated
    return np.stack(
        [states[i] for i in np.linspace(0, len(states) - 1, SHOWN + 2, dtype=int)[1:-1]]
    )


def grey(maps: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Maps (B, H, W) as pictures, from black at 0 to white at 1."""
    shades = (255 * np.clip(maps, 0, 1)).astype(np.uint8)
    return list(np.repeat(shades[..., None], 3, axis=3))
