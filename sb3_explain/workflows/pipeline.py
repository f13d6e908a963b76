"""From an agent to a report: collect states, fit a VisionMask, evaluate it, and show the results.

An output folder holds ``states/`` (Zarr), ``visionmask/``, ``metrics.json``, ``curves.json``,
``attributions/*.png``, ``video.mp4`` and ``report.html``. Each step uses what an earlier run has
finished, and continues what it has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.common.controls import list_controls
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.training import training_options
from sb3_explain.evaluation.evaluate import Evaluation, evaluate
from sb3_explain.evaluation.metrics import bind_options
from sb3_explain.explainers.learned.fitted import load_or_fit
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.report import save, write_report
from sb3_explain.report.measured import read_curves, read_metrics
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import make_examples, render_png
from sb3_explain.workflows.saliency_video import write_saliency_video
from sb3_explain.workflows.splitting import split_states


@check_arguments
def fit_visionmask(
    agent: Agent,
    states: StateDataset,
    folder: Path,
    *,
    explainer_kwargs: Mapping[str, Any] | None = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> VisionMask:
    """Fit a VisionMask on the training part of ``states``, or load the one that is in ``folder``.

    :param agent: the agent to explain
    :param states: states of the agent, which :func:`.split_states` splits
    :param folder: folder to save it in, with checkpoints in ``training/`` below
    :param explainer_kwargs: settings of the VisionMask
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param seed: random seed of the split, the initial weights and the order of the states
    :raises ExplainError: if ``folder`` holds one of other settings, states or training
    """
    made = VisionMask(agent, seed=seed, **(explainer_kwargs or {}))
    train, validation, _ = split_states(states, seed)
    return load_or_fit(made, folder, train, validation, {"seed": seed, **(fit_kwargs or {})})


def require_same_split(explainer: VisionMask, train: StateDataset) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` if it may have learned from test states."""
    if explainer.learned_from["train"] != train.fingerprint():
        raise ExplainError(
            "the VisionMask was fitted on another split of the states (another seed, or states "
            "were added since): use the same, or fit in another output folder"
        )


@check_arguments
def explain(
    agent: Agent,
    output: str | Path,
    *,
    n_states: int = 10_000,
    n_evaluated: int = 300,
    collect_kwargs: Mapping[str, Any] | None = None,
    explainer_kwargs: Mapping[str, Any] | None = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    metrics: list[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Write a report on one agent: whatever is missing of its states, VisionMask, metrics and page.

    >>> from sb3_explain import explain
    >>> evaluation = explain(
    ...     agent, folder, n_states=200, n_evaluated=10, collect_kwargs={"max_per_episode": 20},
    ...     fit_kwargs={"epochs": 1}, metrics=["sparseness"], progress=False,
    ... )
    >>> list(evaluation.rows)[:4], (folder / "report.html").exists()
    (['visionmask', 'visionmask template', 'visionmask swapped', 'empty'], True)

    :param agent: the agent to explain
    :param output: folder for everything that is written
    :param n_states: number of states to collect
    :param n_evaluated: number of test states to measure on
    :param collect_kwargs: further options of :func:`sb3_explain.collect`
    :param explainer_kwargs: settings of the VisionMask
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param metrics: names of metrics; all when not given
    :param seed: random seed of the environments, the split, the training and the sample
    :param progress: show progress bars
    :return: what was measured, as in ``metrics.json``
    :raises ExplainError: for unknown options or metrics, before anything is played
    """
    output = Path(output)
    # Fail now, not after the long steps.
    made = VisionMask(agent, seed=seed, **(explainer_kwargs or {}))
    training_options(dict(fit_kwargs or {}))
    bind_options(metrics)
    states = collect(
        agent,
        n_states=n_states,
        folder=output / "states",
        seed=seed,
        progress=progress,
        **(collect_kwargs or {}),
    )
    train, validation, test = split_states(states, seed)
    options = {"seed": seed, "progress": progress, **(fit_kwargs or {})}
    explainer = load_or_fit(made, output / "visionmask", train, validation, options)
    evaluation = evaluate_to(
        output, train, test, explainer, metrics,
        n_evaluated=n_evaluated, seed=seed, progress=progress,
    )  # fmt: skip
    write_all(output, test, explainer, progress=progress)
    return evaluation


def evaluate_to(
    output: Path,
    train: StateDataset,
    test: StateDataset,
    explainer: VisionMask,
    metrics: list[str] | None,
    *,
    n_evaluated: int,
    seed: int,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a VisionMask on test states, and write ``metrics.json`` and ``curves.json``."""
    agent = explainer.agent
    evaluation = evaluate(
        agent,
        test,
        [explainer],
        metrics,
        target=explainer.own_target,
        baseline=explainer.baselines,
        train=train,
        n_evaluated=n_evaluated,
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
    output: Path, test: StateDataset, explainer: VisionMask, progress: bool = True
) -> Path:
    """Write pictures of the attributions of every action, the video, and the page with both.

    :raises ExplainError: if nothing has been measured in ``output`` yet
    """
    if not (output / "metrics.json").exists():
        raise ExplainError(f"{output} holds no metrics.json yet: run `sb3-explain evaluate` first")
    # before what takes long
    measured, curves = read_metrics(output / "metrics.json"), read_curves(output / "curves.json")
    examples = make_examples(test, explainer)
    for name, example in examples.items():
        save(output / "attributions" / f"{name}.png", render_png(example))
    video = write_saliency_video(output / "video.mp4", test, explainer, progress=progress)
    return write_report(
        output,
        metrics=measured,
        curves=curves,
        controls=list_controls(measured["explainers"]),
        examples=list(examples.values()),
        video=video,
        date=measured.get("made", {}).get("date", ""),
        provenance={
            "States": test.provenance,
            "VisionMask": explainer.plain_settings(),
            "Made with": measured.get("made", {}),
        },
    )
