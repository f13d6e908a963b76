"""Explainers x metrics x states -> a table with confidence intervals and costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.common.bootstrap import Interval, confidence_interval, make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.evaluation.metrics import bound, needs
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.sgqn.policies import PixelPolicy
from sb3_explain.states.baselines import Baseline, apply_baselines, fit_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import Cost, ForwardCache
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

#: rows that every table has; the constant mask comes with the mean area of the first real masks
CONTROLS = ("empty", "constant", "random", "gradient")


@contextmanager
def measured(cost: Cost, agent: Agent, saved: Cost) -> Iterator[None]:
    """Add to ``cost`` what happens inside, with what a cache has saved it.

    :param cost: is added to
    :param agent: whose forward passes are counted
    :param saved: the cache's own count
    """
    forwards = agent.forwards + saved.forwards
    seconds = time.perf_counter() + saved.seconds
    yield
    cost.forwards += agent.forwards + saved.forwards - forwards
    cost.seconds += time.perf_counter() + saved.seconds - seconds


@dataclass
class Row:
    """One explainer in an evaluation.

    :param values: per metric, (n,) values of the states, NaN where a state does not count
    :param curves: per metric that has one, its mean over the states, (P,)
    :param intervals: per metric, mean and bounds
    :param explaining: cost of one map per state
    :param measuring: cost of each metric, without the map
    :param fit_seconds: what it took to learn, 0 for an explainer that does not
    :param map_sum: sum over the states of each map's mean; for masks, of their areas
    """

    values: dict[str, Array] = field(default_factory=dict)
    curves: dict[str, Array] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    explaining: Cost = field(default_factory=Cost)
    measuring: dict[str, Cost] = field(default_factory=dict)
    fit_seconds: float = 0.0
    attribution_sum: float = 0.0


@dataclass
class Evaluation:
    """The outcome of :func:`evaluate`.

    :param agent: which agent, as :meth:`sb3_explain.agents.agent.Agent.describe` says it
    :param states: which states and what the intervals are
    :param rows: per explainer, in the table's order
    """

    agent: dict[str, Any]
    states: dict[str, Any]
    rows: dict[str, Row]

    @property
    def values(self) -> dict[str, dict[str, Array]]:
        """Explainer -> metric -> (n,) values of the states."""
        return {name: row.values for name, row in self.rows.items()}

    @property
    def curves(self) -> dict[str, dict[str, Array]]:
        """Explainer -> metric -> (P,) mean curve, for metrics that are an area under one."""
        return {name: row.curves for name, row in self.rows.items()}

    def table(self) -> pd.DataFrame:
        """One line per explainer and metric: the mean, its interval, and what it cost.

        ``forwards`` and ``seconds`` are those of explaining all states once, which an
        explainer's metrics share; ``metric_forwards`` and ``metric_seconds`` those of the metric.
        """
        import pandas as pd

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
            }
            for name, row in self.rows.items()
            for metric, interval in row.intervals.items()
        ]
        return pd.DataFrame(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the layout of ``metrics.json``: shares in [0, 1], null where undefined."""
        explainers = {
            name: {
                **{metric: _plain(interval) for metric, interval in row.intervals.items()},
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


def evaluate(
    agent: Agent,
    states: StateDataset,
    explainers: Mapping[str, Explainer] | Iterable[Explainer],
    metrics: Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None,
    *,
    baseline: str | Baseline | Mapping[str, Baseline] = "background",
    boxes: Array | None = None,
    n_evaluated: int | None = None,
    batch_size: int = CHUNK,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = False,
) -> Evaluation:
    """Measure explainers of an agent on states, beside the rows that explain nothing.

    Maps are computed once per explainer and state, for the greedy action (the default target of
    other action spaces, see :mod:`sb3_explain.agents.action_spaces`), and shared by all of its
    metrics; explainers with the same perturbations share the agent's passes, and each is charged
    for them. An empty mask, a constant mask, a random map and the gradient are added unless given.

    :param agent: the agent that the explainers explain
    :param states: states that no explainer has learned from
    :param explainers: by name, or a list that goes by the registry's names
    :param metrics: names, or options by name such as ``{"insertion": {"steps": 50}}``; all metrics
        when not given. A metric that does not apply to an explainer is left out of its row
    :param baseline: what a removed cell becomes, the same for all explainers, whatever they mask
        with themselves: a name, which is fitted on frames of ``states``; a baseline; or one by key
        of the observation, such as an explainer's own ``baselines``. The outcome's
        ``states["baseline"]`` says which
    :param boxes: (n, H, W) which cells of the states' newest frames lie in the box of an object,
        for the metric relevance_mass (see :func:`sb3_explain.evaluation.boxes.read_boxes`)
    :param n_evaluated: a random sample of this many; all states when not given
    :param batch_size: states that are explained and measured at once
    :param seed: of the sample, of the metrics' noise and of the bootstrap
    :param n_resamples: draws of the bootstrap
    :param confidence: of the intervals, in (0, 1)
    :param progress: show a bar on standard error
    :raises ExplainError: for an unknown metric, no states, or an explainer that has still to be
        fitted
    """
    if len(states) == 0 or (n_evaluated is not None and n_evaluated < 1):
        raise ExplainError("there are no states to evaluate on: collect some first")
    if batch_size < 1 or n_resamples < 1 or not 0 < confidence < 1:
        raise ExplainError(
            f"batch_size={batch_size}, n_resamples={n_resamples}, confidence={confidence}: give "
            "positive numbers, and a confidence below 1"
        )
    given = _named(agent, explainers)
    chosen = bound(metrics)
    if boxes is None:
        chosen = {name: metric for name, metric in chosen.items() if "boxes" not in needs(metric)}
    elif len(boxes) != len(states):
        raise ExplainError(f"boxes of {len(boxes)} states for {len(states)}: give (n, H, W)")
    if not chosen:
        raise ExplainError(
            "there is nothing to measure: name a metric; relevance_mass needs boxes="
        )

    sample = states.sample(n_evaluated or len(states), seed)
    n = len(sample)
    if not isinstance(baseline, Mapping):
        baseline = fit_baselines(baseline, states.subset(sample))

    added = {
        name: EXPLAINERS[name]
        for name in CONTROLS
        if name not in given and EXPLAINERS[name].unsupported(agent) is None
    }
    measured_together = {
        **given,
        **{name: explainer(agent) for name, explainer in added.items() if name != "constant"},
    }
    positions = np.array_split(sample, range(batch_size, n, batch_size))

    def measure(named: Mapping[str, Explainer], advance: Callable[[int], Any]) -> dict[str, Row]:
        rows = {name: Measuring(explainer, chosen, seed) for name, explainer in named.items()}
        for some in positions:
            batch = states.batch(agent, some, cache=ForwardCache()).aimed()
            replacement = apply_baselines(baseline, batch)
            located = None if boxes is None else torch.as_tensor(boxes[some], device=batch.device)
            for row in rows.values():
                row.add(batch, replacement, located)
                advance(len(batch))
        return {name: measuring.row() for name, measuring in rows.items()}

    with progress_bar("evaluate", n * (len(given) + len(added)), "maps", progress) as bar:
        rows = measure(measured_together, bar.update)
        if "constant" in added:
            areas = [rows[name].attribution_sum / n for name, e in given.items() if e.gives_masks]
            faint = added["constant"](agent, *areas[:1])
            rows |= measure({"constant": faint}, bar.update)
    rows = {name: rows[name] for name in (*given, *added)}
    clusters = make_clusters(states.episode)[sample]
    for row in rows.values():
        for metric, values in row.values.items():
            row.intervals[metric] = confidence_interval(
                values, clusters, n_resamples=n_resamples, confidence=confidence, seed=seed
            )
    described = {
        "n": n,
        "episodes": len(np.unique(states.episode[sample])),
        "clusters": len(np.unique(clusters)),
        "baseline": " | ".join(sorted({each.name for each in baseline.values()})),
        "confidence": confidence,
        "seed": seed,
    }
    return Evaluation(agent.describe(), described, rows)


def area_under(curves: Tensor) -> Tensor:
    """(B,) areas of curves (B, P) over [0, 1], by the trapezoid rule with spacing 1/(P - 1)."""
    if curves.shape[1] == 1:  # of a single cell
        return curves[:, 0]
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)


def _named(
    agent: Agent, explainers: Mapping[str, Explainer] | Iterable[Explainer]
) -> dict[str, Explainer]:
    """Explainers by name, all of this agent and ready to explain."""
    if isinstance(explainers, Mapping):
        named = dict(explainers)
    else:
        explainers = list(explainers)
        named = {explainer.name: explainer for explainer in explainers}
        if len(named) < len(explainers):
            raise ExplainError("two explainers have the same name: give a dict of names to them")
    for explainer in named.values():
        if explainer.agent is not agent:
            raise ExplainError(f"{explainer.name} explains another agent than the one given")
        if isinstance(explainer, FittedExplainer):
            explainer.require_fitted()
    return named


class Measuring:
    """All metrics that apply to one explainer, batch by batch.

    :param explainer: ready to explain
    :param metrics: by name, with their options bound
    :param seed: of the noise of metrics
    """

    def __init__(
        self, explainer: Explainer, metrics: Mapping[str, Callable[..., Tensor]], seed: int
    ) -> None:
        self.explainer = explainer
        lacking = set() if explainer.gives_masks else {"masks"}
        lacking |= set() if explainer.orders_cells else {"ordering"}
        lacking |= (
            set() if isinstance(explainer.agent.view.policy, PixelPolicy) else {"attribution"}
        )
        wanted = {name: needs(metric) for name, metric in metrics.items()}
        self.metrics = metrics
        self.wanted = {name: inputs for name, inputs in wanted.items() if not inputs & lacking}
        self.generators = {name: np.random.default_rng(seed) for name in self.wanted}
        self.results: dict[str, list[Array]] = {name: [] for name in self.wanted}
        self._row = Row(measuring={name: Cost() for name in self.wanted})
        if isinstance(explainer, FittedExplainer):
            self._row.fit_seconds = explainer.fit_seconds

    def add(self, batch: StateBatch, replacement: Tensor, boxes: Tensor | None = None) -> None:
        """Explain and measure some states."""
        explainer, row = self.explainer, self._row
        agent, saved = batch.agent, batch.cache.saved if batch.cache else Cost()
        with measured(row.explaining, agent, saved):
            attributions = batch.flat(explainer.attribute_batch(batch))
        row.attribution_sum += float(attributions.mean()) * len(attributions)
        inputs: dict[str, Any] = {
            "batch": batch,
            "explainer": explainer,
            "attributions": attributions,
            "masks": explainer.shown(attributions) if explainer.gives_masks else attributions,
            "baseline": replacement,
            "boxes": boxes,
        }
        for name, names in self.wanted.items():
            inputs["rng"] = self.generators[name]
            with measured(row.measuring[name], agent, saved):
                if "ordering" in names - inputs.keys():
                    inputs["ordering"] = order(batch.support(attributions))
                if "attribution" in names - inputs.keys():
                    inputs["attribution"] = true_attribution(batch)
                result = self.metrics[name](**{key: inputs[key] for key in names})
                self.results[name].append(result.double().cpu().numpy())

    def row(self) -> Row:
        """What has been measured, without intervals."""
        for name, parts in self.results.items():
            joined = torch.from_numpy(np.concatenate(parts))
            if joined.dim() == 2:
                self._row.curves[name] = joined.mean(dim=0).numpy()
                joined = area_under(joined)
            self._row.values[name] = joined.numpy()
        return self._row


def true_attribution(batch: StateBatch) -> Tensor:
    """(B, C, H, W) how much pixels matter to Q1(s, pi(s)), by guided backpropagation."""
    actions = batch.agent.scores(batch.observations)
    attribution: Tensor = batch.agent.view.policy.attribution(batch.observations, actions)
    batch.agent.forwards += len(batch)
    return attribution


def _plain(interval: Interval) -> dict[str, float | int | None]:
    """An interval for JSON, which has no NaN."""
    return {key: None if math.isnan(x) else x for key, x in interval._asdict().items()}
