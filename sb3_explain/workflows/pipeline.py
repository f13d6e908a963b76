"""From an agent to a report: collect states, explain and measure them, and show the results.

An output folder holds ``states/`` and ``episodes/`` (Zarr), a folder of each explainer that was
fitted, such as ``visionmask/``, ``metrics.json``, ``curves.json``, ``attributions/*.png`` and
``report.html``. Each step uses what an earlier run has finished, and continues what it has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.training import training_options
from sb3_explain.evaluation.evaluate import Evaluation, evaluate
from sb3_explain.evaluation.metrics import METRICS, bind_options
from sb3_explain.evaluation.targets import select_metrics
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.learned.fitted import load_or_fit
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.explainers.named import Explainers, read_explained_agent
from sb3_explain.report import save, write_report
from sb3_explain.report.measured import read_curves, read_metrics
from sb3_explain.report.viewer.playback import Playback
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.baselines import make_baselines
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.episodes import read_description
from sb3_explain.workflows.agent_file import write_origin
from sb3_explain.workflows.beside import name_folders, play_others, read_others
from sb3_explain.workflows.chosen_explainers import choose_explainers
from sb3_explain.workflows.critical_steps.stored_states import mark_critical_steps
from sb3_explain.workflows.feature_pictures import picture_importance
from sb3_explain.workflows.found_beside import mark_outcomes, read_gallery, read_highlights
from sb3_explain.workflows.found_sections import make_sections
from sb3_explain.workflows.page_plan import plan_page
from sb3_explain.workflows.pictures import make_examples, render_png
from sb3_explain.workflows.playback import make_playback
from sb3_explain.workflows.side_by_side import describe_keys, show_methods
from sb3_explain.workflows.splitting import split_states
from sb3_explain.workflows.whole_episodes import EPISODES, choose_steps

#: number of states that are collected for a page without a fit, and for a fit
FIRST_STATES, FITTED_STATES = 500, 10_000
#: number of states that are measured: of an agent that observes images, whose forward passes take
#: long, few where nothing was fitted; else as many as an interval needs
FIRST_EVALUATED, EVALUATED = 50, 300
#: metrics of a page without a fit: those of them that measure what is explained
FIRST_METRICS = ("accuracy@0.1", "insertion", "deletion", "value_preservation", "sparseness")
#: metrics that explain each state ten times more, or take hundreds of forward passes for it, which
#: are left out unless they are named
SLOW = frozenset({"local_lipschitz", "max_sensitivity", "pixel_flipping"})


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


@check_arguments
def explain(
    agent: Agent | BaseAlgorithm,
    output: str | Path,
    explainers: Explainers | None = None,
    *,
    fit: str | None = None,
    n_states: int | None = None,
    n_evaluated: int | None = None,
    collect_kwargs: Mapping[str, Any] | None = None,
    explainer_kwargs: Mapping[str, Any] | None = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    metrics: list[str] | None = None,
    target: TargetLike = None,
    n_shown: int | None = None,
    beside: Mapping[str, Agent | BaseAlgorithm] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Write a report on one agent: whatever is missing of its states, metrics and page.

    Without ``fit``, nothing is fitted, and the page takes less than a minute on two cores. With it,
    the explainer that is fitted comes first on the page, before the others; what was fitted in
    ``output`` before stays on the page.

    >>> from sb3_explain import explain
    >>> evaluation = explain(agent, folder, n_states=200, n_evaluated=10, progress=False)
    >>> list(evaluation.rows)[:2], (folder / "report.html").exists()
    (['feature_ablation', 'integrated_gradients'], True)
    >>> evaluation = explain(
    ...     agent, folder, fit="visionmask", n_states=200, n_evaluated=10,
    ...     fit_kwargs={"epochs": 1}, metrics=["sparseness"], progress=False,
    ... )
    >>> list(evaluation.rows)[:3]
    ['visionmask', 'feature_ablation', 'integrated_gradients']

    :param agent: the agent to explain
    :param output: folder for everything that is written
    :param explainers: an explainer or its name, several, or a dict of them by the names that are
        shown; those of :func:`sb3_explain.workflows.chosen_explainers.list_defaults` when not given
    :param fit: name of an explainer that learns, which is fitted and saved in a folder of its name;
        ``"visionmask"`` if ``explainer_kwargs`` or ``fit_kwargs`` are given
    :param n_states: number of states to collect; 500, or 10,000 for a fit, when not given
    :param n_evaluated: number of states to measure; 300 when not given, or 50 of an agent that
        observes images if nothing was fitted
    :param collect_kwargs: further options of :func:`sb3_explain.collect`
    :param explainer_kwargs: settings of the explainer that is fitted
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param metrics: names of metrics; when not given a few, or, if an explainer was fitted, all but
        those that explain each state many times
    :param target: what is explained in every state, such as ``"LEFT"`` or ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); the greedy action when not given
    :param n_shown: number of steps of whole episodes that the page plays, at most; 300, or 1000 if
        an explainer learned, when not given
    :param beside: other agents by the names that are shown, which the page plays beside this one
    :param seed: random seed of the environments, the split, the training and the sample
    :param progress: show progress bars
    :return: what was measured, as in ``metrics.json``
    :raises ExplainError: for unknown options or metrics, before anything is played
    """
    agent = read_explained_agent(agent, explainers)
    output = Path(output)
    if fit is None and (explainer_kwargs or fit_kwargs):
        fit = VisionMask.name
    if target is None:  # masks may be learned for another target
        target = (explainer_kwargs or {}).get("target")
    # Fail now, not after the long steps.
    chosen = choose_explainers(agent, output, explainers, fit, target)
    made = chosen.make_unfitted(**{"seed": seed, **(explainer_kwargs or {})})
    training_options(dict(fit_kwargs or {}))
    others = read_others(beside)
    name_folders(others)
    asked = dict(chosen.explainers) | ({} if made is None else {made.name: made})
    own = find_asked(asked, target)
    found = None if own is None else find_target(agent, own)
    select_metrics(bind_options(metrics), found, agent, named=metrics is not None)
    if found is not None:
        for explainer in asked.values():
            require_explained(explainer, found)
    if (output / EPISODES / "states.json").exists():
        read_description(output / EPISODES)
    states = collect(
        agent,
        n_states=n_states or (FITTED_STATES if fit else FIRST_STATES),
        folder=output / "states",
        seed=seed,
        progress=progress,
        **(collect_kwargs or {}),
    )
    if agent.origin is not None:
        write_origin(agent.origin, output)
    train, validation, test = states, states, states
    if chosen.learns:
        train, validation, test = split_states(states, seed)
    if made is not None:
        options = {"seed": seed, "progress": progress, **(fit_kwargs or {})}
        made = load_or_fit(made, output / made.name, train, validation, options)
    ready = chosen.make_ready(train, made)
    evaluation = evaluate_to(
        output, train, test, ready, metrics, target=target, n_evaluated=n_evaluated, seed=seed,
        progress=progress,
    )  # fmt: skip
    plan = plan_page(agent, learned=chosen.learns, n_states=n_states, n_shown=n_shown)
    playing = collect_kwargs or {}
    played = plan.play(agent, output, playing, seed=seed, progress=progress)
    playbacks = play_others(others, output, plan, playing, seed=seed, progress=progress)
    write_all(
        output, test, ready, played=played, beside=playbacks, target=target, n_shown=n_shown,
        progress=progress,
    )  # fmt: skip
    return evaluation


def evaluate_to(
    output: Path,
    train: StateDataset,
    test: StateDataset,
    explainers: Mapping[str, Explainer],
    metrics: list[str] | None = None,
    *,
    n_evaluated: int | None = None,
    target: TargetLike = None,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Evaluate explainers on test states, and write ``metrics.json`` and ``curves.json``.

    :param output: folder of the results
    :param train: states that explainers were fitted on
    :param test: states to measure on
    :param explainers: explainers that are ready to explain by name, the page's subject first
    :param metrics: names of metrics; as :func:`explain` chooses them when not given
    :param n_evaluated: number of states; as :func:`explain` chooses it when not given
    :param target: what is explained; the greedy action when not given
    :param seed: random seed of the sample
    :param progress: show a progress bar
    """
    agent = next(iter(explainers.values())).agent
    learned = [one for one in explainers.values() if isinstance(one, FittedExplainer)]
    target = find_asked(explainers, target)
    if metrics is None:
        names = [n for n in METRICS if n not in SLOW] if learned else FIRST_METRICS
        found = None if target is None else find_target(agent, target)
        metrics = list(select_metrics(bind_options(names), found, agent, named=False))
    few = n_evaluated is None and not learned and find_image(agent) is not None
    if n_evaluated is None:
        n_evaluated = FIRST_EVALUATED if few else EVALUATED
    evaluation = evaluate(
        agent,
        test,
        explainers,
        metrics,
        target=target,
        baseline=learned[0].baselines if learned else "background",
        train=train,
        n_evaluated=n_evaluated,
        seed=seed,
        progress=progress,
        warn=not few,  # the user has not chosen so few, and the page says it
    )
    curves = {
        name: {metric: curve.tolist() for metric, curve in row.items()}
        for name, row in evaluation.curves.items()
        if row
    }
    write_json(output / "curves.json", curves)
    write_json(output / "metrics.json", {**evaluation.to_dict(), "made": describe_machine()})
    return evaluation


def find_asked(explainers: Mapping[str, Explainer], target: TargetLike) -> TargetLike:
    """Find what a page explains: the target that was asked for, or that masks were learned for.

    :param explainers: explainers of the page by name
    :param target: what was asked for; ``None`` for nothing
    """
    learned = [one for one in explainers.values() if isinstance(one, FittedExplainer)]
    return learned[0].own_target if target is None and learned else target


def write_all(
    output: Path,
    test: StateDataset,
    explainers: Mapping[str, Explainer],
    *,
    played: StateDataset | None = None,
    beside: Sequence[Playback] = (),
    target: TargetLike = None,
    n_shown: int | None = None,
    progress: bool = True,
) -> Path:
    """Write pictures of the attributions, and the page with them, on which the agent is played.

    The pictures of every action, or of the target that was asked for, are those of the first
    explainer.

    :param output: folder of the results
    :param test: states that no explainer has learned from
    :param explainers: explainers that are ready to explain by name, the page's subject first
    :param played: states of whole episodes, which the page plays; those of ``test`` when not given
    :param beside: other agents, which the page plays beside this one
    :param target: what is explained; the greedy action when not given
    :param n_shown: number of steps that the page plays, at most, as :func:`explain` takes it
    :param progress: show a progress bar
    :return: path of the page
    :raises ExplainError: if nothing has been measured in ``output`` yet
    """
    if not (output / "metrics.json").exists():
        raise ExplainError(f"{output} holds no metrics.json yet: run `sb3-explain evaluate` first")
    # before what takes long
    measured, curves = read_metrics(output / "metrics.json"), read_curves(output / "curves.json")
    gallery, shown = read_gallery(output), test if played is None else played
    marked = [*read_highlights(output, shown), *mark_outcomes(output, shown)]
    subject, *others = explainers.values()
    sections = make_sections(output, subject.agent, shown)
    target = find_asked(explainers, target)
    learned = any(isinstance(one, FittedExplainer) for one in explainers.values())
    plan = plan_page(subject.agent, learned=learned, n_shown=n_shown)
    # pictures of the player's steps open these, but what learned is shown on what it has not seen
    in_player = not learned or played is None
    steps, _ = choose_steps(shown, plan.limit)
    marked += mark_critical_steps(output, subject.agent, shown, steps)
    stills = shown.subset(steps) if in_player else test
    of_pictures = stills if find_image(subject.agent) is not None else test
    examples = make_examples(of_pictures, subject, target)
    for other in others:
        drawn = picture_importance(of_pictures, other, target=target)
        examples |= {f"{name}_{other.name}": picture for name, picture in drawn.items()}
    for name, example in examples.items():
        save(output / "attributions" / f"{name}.png", render_png(example))
    playback = make_playback(
        shown, explainers, agent=subject.agent, limit=plan.limit, budget=plan.budget, target=target,
        name="this agent" if beside else "", marked=marked,
        # as the other pictures hide it, else as the metrics do
        baselines=subject.baselines or make_baselines(subject.agent, "background", test),
        progress=progress,
    )  # fmt: skip
    return write_report(
        output,
        metrics=measured,
        curves=curves,
        explainer=subject.name if subject.name in measured["explainers"] else None,
        examples=list(examples.values()),
        methods=show_methods(subject.agent, stills, explainers, target),
        in_player=in_player,
        playbacks=[playback, *beside],
        remarks=describe_keys(subject.agent, explainers),
        gallery=gallery,
        sections=sections,
        date=measured.get("made", {}).get("date", ""),
        provenance={
            "States": test.provenance,
            **{
                get_explainer_label(name): one.plain_settings()
                for name, one in explainers.items()
                if isinstance(one, FittedExplainer)
            },
            "Made with": measured.get("made", {}),
        },
    )
