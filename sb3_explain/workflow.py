"""From an agent to a report: collect, fit, evaluate, show. Each step keeps what it made on disk.

An output folder holds ``states/`` (Zarr), one folder a learned explainer, ``metrics.json``,
``curves.json``, ``maps/*.png``, ``video.mp4`` and ``report.html``. A step finds what an earlier run
has finished, and goes on with what it has not.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import itertools
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.agent import Agent
from sb3_explain.atomic import read_json, write_json
from sb3_explain.collection import collect
from sb3_explain.errors import ExplainError
from sb3_explain.evaluation import Evaluation, evaluate
from sb3_explain.explainers.learned import training_options
from sb3_explain.explainers.visionmask import VisionMask
from sb3_explain.metrics import bound
from sb3_explain.progress import progress_bar
from sb3_explain.report import (
    ActionMaps,
    Caption,
    action_maps_figure,
    save,
    write_report,
    write_video,
)
from sb3_explain.states import StateDataset

#: states in the video, and states with the maps of every action
VIDEO_STATES = 300
EXAMPLES = 4


def fit_visionmask(
    agent: Agent,
    states: StateDataset,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    training: Mapping[str, Any],
    seed: int = 0,
) -> VisionMask:
    """A VisionMask fitted on the training part of ``states``, or the one that is in ``folder``.

    :param agent: to explain
    :param states: to split 80/10/10 by episode
    :param folder: where it is saved, checkpoints in ``training/`` below
    :param settings: of the VisionMask
    :param training: fields of :class:`sb3_explain.training.TrainingOptions`
    :param seed: of the split, the initial weights and the order of the states
    """
    wanted = VisionMask(agent, seed=seed, **settings)
    train, validation, _ = states.split(seed=seed)
    if (folder / "visionmask.json").exists():
        explainer = VisionMask.load(folder, agent)
        options = training_options({"seed": seed, **training}).identity()
        if explainer.settings != wanted.settings or explainer.learned_from["options"] != options:
            raise ExplainError(
                f"{folder} holds a VisionMask fitted with other settings: choose another output "
                "folder, or delete this one"
            )
        require_same_split(explainer, train)
        return explainer
    wanted.fit(train, validation, folder=folder / "training", seed=seed, **training)
    wanted.save(folder)
    return wanted


def require_same_split(explainer: VisionMask, train: StateDataset) -> None:
    """:raises ExplainError: if test states may be among those that the explainer learned from"""
    if explainer.learned_from["train"] != train.fingerprint():
        raise ExplainError(
            "the VisionMask was fitted on another split of the states (another seed, or states "
            "were added since): use the same, or fit in another output folder"
        )


def explain(
    agent: Agent,
    output: str | Path,
    *,
    n: int = 10_000,
    n_evaluated: int = 300,
    collecting: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    metrics: list[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Everything that is missing for a report on one agent.

    :param agent: to explain
    :param output: folder for all that is made
    :param n: states to collect
    :param n_evaluated: states of the test part to measure on
    :param collecting: further options of :func:`sb3_explain.collect`
    :param settings: of the VisionMask
    :param training: fields of :class:`sb3_explain.training.TrainingOptions`
    :param metrics: names; all when not given
    :param seed: of all chance
    :param progress: show bars
    """
    output = Path(output)
    # What cannot work shall fail now, not after the long steps.
    VisionMask(agent, **(settings or {}))
    training_options(dict(training or {}))
    bound(metrics)
    states = collect(
        agent, n=n, folder=output / "states", seed=seed, progress=progress, **(collecting or {})
    )
    explainer = fit_visionmask(
        agent,
        states,
        output / "visionmask",
        settings=settings or {},
        training={"progress": progress, **(training or {})},
        seed=seed,
    )
    test = states.split(seed=seed)[-1]
    evaluation = evaluate_to(
        output, agent, test, explainer, metrics, n_states=n_evaluated, seed=seed, progress=progress
    )
    write_all(output, agent, test, explainer, progress=progress)
    return evaluation


def evaluate_to(
    output: Path,
    agent: Agent,
    test: StateDataset,
    explainer: VisionMask,
    metrics: list[str] | None,
    *,
    n_states: int,
    seed: int,
    progress: bool = True,
) -> Evaluation:
    """Measure, and write ``metrics.json`` and ``curves.json``."""
    evaluation = evaluate(
        agent,
        test,
        [explainer],
        metrics,
        n_states=n_states,
        seed=seed,
        progress=progress,
    )
    curves = {
        name: {metric: curve.tolist() for metric, curve in row.items()}
        for name, row in evaluation.curves.items()
        if row
    }
    write_json(output / "curves.json", curves)
    write_json(output / "metrics.json", {**evaluation.to_dict(), "made": circumstances()})
    return evaluation


def write_all(
    output: Path, agent: Agent, test: StateDataset, explainer: VisionMask, progress: bool = True
) -> Path:
    """Write the pictures of every action's map, the video, and the page that shows them.

    :raises ExplainError: if nothing has been measured in ``output`` yet
    """
    if not (output / "metrics.json").exists():
        raise ExplainError(f"{output} holds no metrics.json yet: run `sb3-explain evaluate` first")
    examples = [
        action_maps_of(agent, test, explainer, position) for position in telling_states(test, agent)
    ]
    for number, example in enumerate(examples):
        save(output / "maps" / f"state_{number}.png", action_maps_figure(example))
    video = output / "video.mp4"
    write_saliency_video(video, agent, test, explainer, progress=progress)
    measured = read_json(output / "metrics.json")
    if not isinstance(measured, dict) or "made" not in measured:
        raise ExplainError(f"{output / 'metrics.json'} is damaged: run `sb3-explain evaluate`")
    return write_report(
        output,
        metrics=measured,
        curves=read_json(output / "curves.json"),
        examples=examples,
        video=video,
        date=measured["made"]["date"],
        provenance={
            "States": test.provenance,
            "VisionMask": dataclasses.asdict(explainer.settings),
            "Made with": measured["made"],
        },
    )


def telling_states(states: StateDataset, agent: Agent, n: int = EXAMPLES) -> list[int]:
    """Positions of states with a clear decision: for each frequent action its clearest one.

    :param states: to choose from
    :param agent: who decides
    :param n: number of states at most
    """
    scores = torch.from_numpy(states.column("scores"))
    probabilities = agent.probabilities_of(scores)
    best = probabilities.topk(2, dim=1).values
    margins = (best[:, 0] - best[:, 1]).numpy()
    actions, counts = np.unique(states.greedy, return_counts=True)
    chosen = []
    for action in actions[np.argsort(-counts)][:n]:
        of_action = np.flatnonzero(states.greedy == action)
        chosen.append(int(of_action[margins[of_action].argmax()]))
    return sorted(chosen)


def action_maps_of(
    agent: Agent, states: StateDataset, explainer: VisionMask, position: int
) -> ActionMaps:
    """The frame of one state with the maps of all actions on it."""
    observation: Any = agent.tensor(states.observations([position]))
    with torch.no_grad():
        probabilities = agent.probabilities(observation.float())[0].cpu().numpy()
    maps = newest_frame(explainer.action_maps(observation))[0]
    return ActionMaps(
        frame=pictures_of(states, np.array([position]))[0],
        maps=maps.cpu().numpy(),
        action_names=agent.action_names,
        probabilities=probabilities,
        chosen=int(states.greedy[position]),
        caption=f"episode {states.episode[position]}, state {int(states.indices[position])}",
    )


def pictures_of(states: StateDataset, positions: NDArray[np.int64]) -> NDArray[Any]:
    """(B, h, w, 3) frames as rendered, or what the agent sees of them where none were kept."""
    rendered = states.rendered(positions)
    if rendered is not None:
        return rendered
    frames = states.frames(positions).numpy()
    low, high = (0, 255) if frames.dtype == np.uint8 else (frames.min(), frames.max())
    grey = frames.mean(axis=1) if frames.shape[1] != 3 else frames.transpose(0, 2, 3, 1)
    scaled = ((grey - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return scaled if scaled.ndim == 4 else np.repeat(scaled[..., None], 3, axis=-1)


def newest_frame(maps: torch.Tensor) -> torch.Tensor:
    """(..., F, H, W) -> (..., H, W): the map of the frame that a person sees in the picture."""
    return maps[..., -1, :, :]


def write_saliency_video(
    path: Path,
    agent: Agent,
    states: StateDataset,
    explainer: VisionMask,
    *,
    n: int = VIDEO_STATES,
    progress: bool = True,
) -> None:
    """The beginning of the first episode of ``states``, with the map of the action taken."""
    episode = np.flatnonzero(states.episode == states.episode[0])[:n]
    names = agent.action_names
    batches = np.array_split(episode, range(64, len(episode), 64))

    def scenes() -> Iterator[tuple[NDArray[Any], NDArray[Any], Caption]]:
        for batch in batches:
            pictures = pictures_of(states, batch)
            observations: Any = agent.tensor(states.observations(batch))
            taken = torch.as_tensor(states.actions[batch].astype(np.int64)) - agent.first_action
            maps = newest_frame(explainer.attribute(observations, taken)).cpu().numpy()
            scores = torch.from_numpy(states.column("scores")[batch])
            probabilities = agent.probabilities_of(scores).numpy()
            values = states.column("values")[batch]
            for row, position in enumerate(batch):
                yield (
                    pictures[row],
                    maps[row],
                    Caption(
                        action=int(taken[row]),
                        probabilities=probabilities[row],
                        step=int(position - episode[0]),
                        value=float(values[row]) if np.isfinite(values[row]) else None,
                    ),
                )

    pictures, maps, captions = itertools.tee(scenes(), 3)
    with progress_bar("video", len(episode), "frames", progress) as bar:
        write_video(
            path,
            (scene[0] for scene in pictures),
            (scene[1] for scene in maps),
            (scene[2] for scene in captions),
            action_names=names,
            measure="softmax of Q" if agent.view.value_based else "probability",
            progress=lambda done: _show(bar, done),
        )


def _show(bar: Any, done: int) -> None:
    bar.update(done - bar.n)


def circumstances() -> dict[str, Any]:
    """Date, machine and versions, for provenance."""
    packages = ("sb3_explain", "torch", "stable_baselines3", "sb3_contrib", "gymnasium", "captum")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }
