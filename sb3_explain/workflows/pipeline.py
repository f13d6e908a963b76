"""From an agent to a report: collect, fit, evaluate, show. Each step keeps what it made on disk.

An output folder holds ``states/`` (Zarr), one folder a learned explainer, ``metrics.json``,
``curves.json``, ``maps/*.png``, ``video.mp4`` and ``report.html``. A step finds what an earlier run
has finished, and goes on with what it has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import image_of
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import read_json, write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.training import training_options
from sb3_explain.evaluation.evaluate import Evaluation, evaluate
from sb3_explain.evaluation.metrics import bound
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.report import save, write_report
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import examples_of, png_of, write_saliency_video

#: under the video of an agent that sees no images
ALONE = "The game; below, the action, its probability and those of the others."


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
    :param training: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param seed: of the split, the initial weights and the order of the states
    """
    wanted = VisionMask(agent, seed=seed, **settings)
    train, validation, _ = states.split(seed=seed)
    if (folder / "visionmask.json").exists():
        explainer = VisionMask.load(folder, agent)
        options = training_options({"seed": seed, **training}).identity()
        if (
            explainer.plain_settings() != wanted.plain_settings()
            or explainer.learned_from["options"] != options
        ):
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
    :param training: fields of :class:`sb3_explain.common.training.TrainingOptions`
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
        baseline=explainer.baselines,
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
    write_json(output / "metrics.json", {**evaluation.to_dict(), "made": describe_machine()})
    return evaluation


def write_all(
    output: Path, agent: Agent, test: StateDataset, explainer: VisionMask, progress: bool = True
) -> Path:
    """Write the pictures of every action's map, the video, and the page that shows them.

    :raises ExplainError: if nothing has been measured in ``output`` yet
    """
    if not (output / "metrics.json").exists():
        raise ExplainError(f"{output} holds no metrics.json yet: run `sb3-explain evaluate` first")
    examples = examples_of(agent, test, explainer)
    for name, example in examples.items():
        save(output / "maps" / f"{name}.png", png_of(example))
    video = write_saliency_video(output / "video.mp4", agent, test, explainer, progress=progress)
    measured = read_json(output / "metrics.json")
    if not isinstance(measured, dict) or "made" not in measured:
        raise ExplainError(f"{output / 'metrics.json'} is damaged: run `sb3-explain evaluate`")
    return write_report(
        output,
        metrics=measured,
        curves=read_json(output / "curves.json"),
        examples=list(examples.values()),
        video=video,
        video_caption="" if image_of(agent) is not None else ALONE,
        date=measured["made"]["date"],
        provenance={
            "States": test.provenance,
            "VisionMask": explainer.plain_settings(),
            "Made with": measured["made"],
        },
    )
