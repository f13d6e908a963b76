"""``evaluate``: explainers x metrics x states, as a table with confidence intervals and costs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.adopted_names import adopt_stored_names
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.bootstrap import Interval, confidence_interval, make_clusters
from sb3_explain.common.controls import CONTROLS, list_controls
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.evaluation.controls import make_own_controls
from sb3_explain.evaluation.differences import pair_difference
from sb3_explain.evaluation.kind import describe_kind
from sb3_explain.evaluation.measuring import Measuring, Row
from sb3_explain.evaluation.metrics import bind_options, find_base
from sb3_explain.evaluation.notes import note_if_narrow, note_other_baseline
from sb3_explain.evaluation.others import OtherStates, own_choice, own_preference
from sb3_explain.evaluation.precision import describe_precision
from sb3_explain.evaluation.ranks import rank_explainers
from sb3_explain.evaluation.showing import ShownEvaluation, replace_nan
from sb3_explain.evaluation.targets import select_metrics
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.named import Explainers, name_explainers, read_explained_agent
from sb3_explain.states.baselines import Baseline, fit_baselines
from sb3_explain.states.blends import apply_baselines
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.coverage import describe_coverage
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

#: metrics whose values are means of the target's probability
OF_PROBABILITY = frozenset({"insertion", "deletion", "pixel_flipping"})


@dataclass(repr=False)
class Evaluation(ShownEvaluation):
    """The outcome of :func:`evaluate`.

    >>> from sb3_explain import Gradient, evaluate
    >>> evaluation = evaluate(agent, test, [Gradient(agent)], ["sparseness"], n_resamples=100)
    >>> list(evaluation.rows)
    ['gradient', 'empty', 'constant', 'random']
    >>> evaluation.values["gradient"]["sparseness"].shape == (len(test),)
    True

    :param agent: the agent, as :meth:`sb3_explain.Agent.describe` describes it
    :param states: number of states, episodes and clusters, baseline, confidence and random seed
    :param rows: what has been measured of each explainer, by name, in the table's order
    :param clusters: (n,) cluster of each state, which are resampled, see :func:`make_clusters`
    """

    agent: dict[str, Any]
    states: dict[str, Any]
    rows: dict[str, Row]
    clusters: Array

    def __repr__(self) -> str:
        """Say what was measured; ``print`` shows the figures, too."""
        return f"Evaluation of {', '.join(self.rows)} on {self.states['n']} states"

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Mean with its interval, by explainer and metric."""
        return {name: row.intervals for name, row in self.rows.items()}

    @property
    def values(self) -> dict[str, dict[str, Array]]:
        """(n,) values of the states by explainer and metric, whose paired differences compare."""
        return {name: row.values for name, row in self.rows.items()}

    @check_arguments
    def difference(self, one: str, other: str, metric: str) -> Interval:
        """Mean of the paired differences of two explainers' values, with its interval.

        It is wholly above 0 where ``one`` has clearly higher values than ``other``.

        >>> from sb3_explain import Gradient, evaluate
        >>> evaluation = evaluate(agent, test, [Gradient(agent)], ["insertion"])
        >>> evaluation.difference("gradient", "gradient", "insertion").mean
        0.0

        :raises ExplainError: for an explainer or a metric that was not measured
        """
        return pair_difference(self.values, one, other, metric, self.clusters, self.states)

    @property
    def curves(self) -> dict[str, dict[str, Array]]:
        """(P,) mean curve by explainer and metric, of metrics that are the area under a curve."""
        return {name: row.curves for name, row in self.rows.items()}

    def table(self) -> pd.DataFrame:
        """Return a row for each explainer and metric: the mean, its interval and its cost.

        ``forwards`` and ``seconds`` are those of explaining all states once, which an explainer's
        metrics share; ``metric_forwards`` and ``metric_seconds`` are those of the metric alone.
        ``own_probability`` is the agent's own mean probability of the targets on the states, beside
        the metrics that are means of a probability: a map may exceed it. ``note`` says why a metric
        has no values, ``"failed: ..."``, or why its interval is too narrow.
        """
        from sb3_explain.common.whole_table import WholeTable

        lines = [
            {
                "explainer": name,
                "metric": metric,
                **interval._asdict(),
                "states": self.states["n"],
                "episodes": self.states["episodes"],
                "forwards": row.explaining.forwards,
                "seconds": row.explaining.seconds,
                "fit_seconds": row.fit_seconds,
                "metric_forwards": row.measuring[metric].forwards,
                "metric_seconds": row.measuring[metric].seconds,
                "own_probability": self.states["own_probability"]
                if find_base(metric) in OF_PROBABILITY
                else math.nan,
                "note": f"failed: {row.failures[metric]}"
                if metric in row.failures
                else self.states["note"],
            }
            for name, row in self.rows.items()
            for metric, interval in row.intervals.items()
        ]
        return WholeTable(lines)

    def ranks(self, *, controls: bool = True) -> pd.DataFrame:
        """Return the rank of each explainer by its mean under each metric, from 1 for the best.

        Measured under several imputations, such as ``{"insertion": {}, "insertion donor":
        {"perturb_baseline": "donor"}}``, it shows whether an order of methods depends on what
        stands in place of removed features.

        :param controls: whether controls have a rank, too
        """
        intervals = self.intervals
        return rank_explainers(intervals, () if controls else list_controls(intervals))

    def summary(self) -> list[str]:
        """Return in few sentences which explainer is best by which metric, and what is not shown.

        They say whether its interval is apart from that of the next best and from those of the
        controls, and what cannot be told from so few states. For an explainer that learns, a
        sentence says where another state's map, or the mean map of the action, does as well as the
        state's own.

        >>> from sb3_explain import InputXGradient, evaluate
        >>> evaluation = evaluate(agent, test, [InputXGradient(agent)], ["insertion"])
        >>> evaluation.summary()[0].startswith("Insertion (higher is better): Input")
        True
        """
        # with the figures of reports, which take long to import
        from sb3_explain.report.comparison import compare_methods
        from sb3_explain.report.summary import describe_states

        table = self.to_dict()["explainers"]
        return [*compare_methods(table, self.states), *describe_states(self.states, table)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as in ``metrics.json``: shares in [0, 1], ``None`` where undefined.

        A metric that failed has the reason under ``"failed"``.
        """
        explainers = {
            name: {
                **{
                    metric: {
                        **replace_nan(interval),
                        **({"failed": row.failures[metric]} if metric in row.failures else {}),
                    }
                    for metric, interval in row.intervals.items()
                },
                "cost": {
                    "forwards": row.explaining.forwards,
                    "seconds": row.explaining.seconds,
                    "fit_seconds": row.fit_seconds,
                    "metric_forwards": sum(cost.forwards for cost in row.measuring.values()),
                    "metric_seconds": sum(cost.seconds for cost in row.measuring.values()),
                },
            }
            for name, row in self.rows.items()
        }
        return {"agent": self.agent, "states": self.states, "explainers": explainers}


@check_arguments
def evaluate(
    agent: Agent | BaseAlgorithm,
    states: StateDataset,
    explainers: Explainers,
    metrics: Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None,
    *,
    target: TargetLike = None,
    baseline: str | Baseline | Mapping[str, Baseline] = "background",
    train: StateDataset | None = None,
    boxes: Array | None = None,
    n_evaluated: int | None = None,
    batch_size: int = CHUNK,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = False,
    warn: bool = True,
) -> Evaluation:
    """Measure explainers of an agent on states, beside controls that explain nothing.

    Attributions are computed once per explainer and state, for the greedy action (the default
    target of other action spaces, see :mod:`sb3_explain.agents.action_spaces`), and shared by all
    metrics. Explainers with the same perturbations share forward passes of the agent, and each is
    charged for them. The controls are an empty mask, a constant mask, random attributions and the
    gradient; an explainer of the same name takes a control's place. An explainer that learns has
    two more of its own, named after it: ``template``, the mean map of the target over training
    states, and ``swapped``, another state's map of the same target.

    If a metric or an explainer fails, this is one logged line and NaN in the table; the others
    stand.

    >>> from sb3_explain import evaluate
    >>> metrics = {"insertion": {"steps": 4}, "sparseness": {}}
    >>> evaluation = evaluate(agent, test, ["input_x_gradient"], metrics, n_resamples=100)
    >>> table = evaluation.table()
    >>> sorted(table[table["metric"] == "insertion"]["explainer"])
    ['gradient', 'input_x_gradient', 'random']

    :param agent: the agent that the explainers explain
    :param states: states that no explainer has learned from
    :param explainers: an explainer or its name, a list of explainers and names, or a dict of them
        by the names that their rows shall have; of an empty list, the controls alone are
        measured. One that learns has to be fitted before, see
        :func:`sb3_explain.make_explainer`; the baselines of those given by name are fitted on
        ``train``
    :param metrics: names, or options by name such as ``{"insertion": {"steps": 50}}``; all metrics
        when not given. A metric that does not apply to an explainer is left out of its row
    :param target: what is explained in every state, such as ``"LEFT"`` or ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); the greedy action when not given. Metrics that ask how
        probable an action is, such as insertion, do not measure targets that are no action
    :param baseline: what a removed feature becomes, the same for all explainers, whatever they mask
        with themselves: a name, which is fitted on ``states``; a baseline; or a baseline by key
        of the observation, such as an explainer's own ``baselines``. The outcome's
        ``states["baseline"]`` says which it was
    :param train: training states, of which the templates are the means; ``states`` when not given
    :param boxes: (n, H, W), true where a pixel of a state's newest frame lies in the box of an
        object, for the metric relevance_mass (see :func:`sb3_explain.read_boxes`)
    :param n_evaluated: number of states to measure, a random sample; all states when not given
    :param batch_size: number of states that are explained and measured at once
    :param seed: random seed of the sample, of the metrics' noise and of the bootstrap
    :param n_resamples: number of the bootstrap's resamples
    :param confidence: confidence level of the intervals, in (0, 1)
    :param progress: show a progress bar on standard error
    :param warn: warn at once of intervals that will be too narrow, which the outcome says, too
    :raises ExplainError: for an unknown metric, no states, an explainer that has still to be
        fitted, or if nothing could be measured
    """
    agent = read_explained_agent(agent, explainers)
    if len(states) == 0:
        raise ExplainError("there are no states to evaluate on: collect some first")
    if n_evaluated is not None and n_evaluated < 1:
        raise ExplainError(f"n_evaluated={n_evaluated}: give a positive number of states")
    if batch_size < 1 or n_resamples < 1 or not 0 < confidence < 1:
        raise ExplainError(
            f"batch_size={batch_size}, n_resamples={n_resamples}, confidence={confidence}: give "
            "positive numbers, and a confidence below 1"
        )
    adopt_stored_names(agent, states.provenance.get("agent"))
    target = None if target is None else find_target(agent, target)
    chosen = select_metrics(
        bind_options(metrics), target, agent, named=metrics is not None, boxes=boxes is not None
    )
    if boxes is not None and len(boxes) != len(states):
        raise ExplainError(f"boxes of {len(boxes)} states for {len(states)}: give (n, H, W)")
    if not chosen:
        raise ExplainError("there is nothing to measure: name a metric")

    sample = states.sample(n_evaluated or len(states), seed)
    n, episodes = len(sample), len(np.unique(states.episode[sample]))
    clusters = make_clusters(states.episode)[sample]
    narrow = note_if_narrow(n, len(states), episodes, len(np.unique(clusters)))
    if narrow and warn:  # now, not when everything has been measured
        logger.warning("%s", narrow)
    train = states.subset(sample) if train is None else train
    given = name_explainers(agent, explainers, train, fit=False)
    for explainer in given.values():
        if explainer.agent is not agent:  # whose forward passes are counted, and shared
            raise ExplainError(f"{explainer.name} explains another agent than the one given")
        if explainer.own_target is not None:
            require_explained(explainer, target)
    if not isinstance(baseline, Mapping):
        baseline = fit_baselines(baseline, states.subset(sample), agent)

    added = {
        name: EXPLAINERS[name]
        for name in CONTROLS
        if name not in given and EXPLAINERS[name].unsupported(agent) is None
    }
    positions = np.array_split(sample, range(batch_size, n, batch_size))
    known: dict[int, Tensor] = {}  # the agent's own scores of each batch, for which nobody pays
    targets, own, taken = [], [], []
    for number, some in enumerate(positions):
        batch = states.batch(agent, some, target).resolve_target()
        known[number] = batch.own_scores
        targets.append(batch.target.cpu().numpy())
        own.append(own_preference(batch).double().cpu().numpy())
        taken.append(own_choice(batch).double().cpu().numpy())
    others = OtherStates(agent, states, sample, np.concatenate(targets), seed)
    own_controls: dict[str, Explainer] = {
        f"{name} {control}": made
        for name, explainer in given.items()
        if isinstance(explainer, FittedExplainer)
        for control, made in make_own_controls(explainer, train, others).items()
        if f"{name} {control}" not in given
    }

    explained_together = {
        **given,
        **own_controls,
        **{name: explainer(agent) for name, explainer in added.items() if name != "constant"},
    }

    def measure(named: Mapping[str, Explainer], advance: Callable[[int], Any]) -> dict[str, Row]:
        rows = {name: Measuring(one, chosen, seed, others) for name, one in named.items()}
        for number, some in enumerate(positions):
            batch = states.batch(agent, some, target, cache=ForwardCache())
            batch.own_scores = known[number]
            batch = batch.resolve_target()
            replacement = apply_baselines(baseline, batch)
            located = None if boxes is None else torch.as_tensor(boxes[some], device=batch.device)
            for row in rows.values():
                row.add(batch, replacement, located)
                advance(len(batch))
        return {name: measuring.row() for name, measuring in rows.items()}

    with progress_bar(
        "evaluate", n * (len(given) + len(own_controls) + len(added)), "states", progress
    ) as bar:
        rows = measure(explained_together, bar.update)
        if "constant" in added:
            areas = [
                rows[name].attribution_sum / n
                for name, explainer in given.items()
                if explainer.gives_masks and not rows[name].failed
            ]
            faint = added["constant"](agent, *areas[:1])
            rows |= measure({"constant": faint}, bar.update)
    rows = {name: rows[name] for name in (*given, *own_controls, *added)}
    if rows and all(row.failed or not row.values for row in rows.values()):
        reasons = [reason for row in rows.values() for reason in row.failures.values()]
        if reasons:
            raise ExplainError(f"nothing could be measured: {reasons[0]}")
    for row in rows.values():
        for metric, values in row.values.items():
            row.intervals[metric] = confidence_interval(
                values, clusters, n_resamples=n_resamples, confidence=confidence, seed=seed
            )
    notes = [narrow, note_other_baseline(given, baseline)]
    named = isinstance(target, int) and not isinstance(agent.action_space, spaces.Box)
    described = {
        "n": n,
        "episodes": episodes,
        "clusters": len(np.unique(clusters)),
        "baseline": " | ".join(sorted({each.name for each in baseline.values()})),
        "confidence": confidence,
        "seed": seed,
        "own_probability": None
        if isinstance(target, ScalarTarget)
        else float(np.concatenate(own).mean()),
        **({} if target is None else {"target": batch.name_targets()[0]}),
        **({"target_taken": float(np.concatenate(taken).mean())} if named else {}),
        "duplicates_left_out": states.n_duplicates,
        "note": "; ".join(filter(None, notes)),
        **describe_coverage(states, agent, sample),
        **describe_precision(given, rows, states, sample, target),
        **describe_kind(states.batch(agent, sample[:1])),
    }
    return Evaluation(agent.describe(), described, rows, clusters)
