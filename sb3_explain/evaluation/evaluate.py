"""``evaluate``: explainers x metrics x states, as a table with confidence intervals and costs."""

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
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.evaluation.metrics import bind_options, needs
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

#: explainers that every table has; the constant mask has the mean area of the first real masks
CONTROLS = ("empty", "constant", "random", "gradient")


#: what a metric may ask for by the names of its parameters
INPUTS = frozenset(
    {
        *("batch", "explainer", "attributions", "masks", "ordering"),
        *("baseline", "boxes", "attribution", "rng"),
    }
)


@contextmanager
def measure_cost(cost: Cost, agent: Agent, saved: Cost) -> Iterator[None]:
    """Add the forward passes and seconds of what runs in the context to ``cost``.

    Forward passes that a cache has saved count as if they had been made.

    :param cost: cost that is added to
    :param agent: agent whose forward passes are counted
    :param saved: what the cache has saved so far, as it counts it itself
    """
    forwards = agent.forwards + saved.forwards
    seconds = time.perf_counter() + saved.seconds
    yield
    cost.forwards += agent.forwards + saved.forwards - forwards
    cost.seconds += time.perf_counter() + saved.seconds - seconds


@dataclass
class Row:
    """What has been measured of one explainer.

    :param values: (n,) values of the states by metric, NaN where a state does not count
    :param curves: (P,) mean curve over the states, by metric that has curves
    :param intervals: mean and bounds by metric
    :param explaining: cost of explaining every state once
    :param measuring: cost by metric, without that of explaining the states
    :param fit_seconds: seconds that fitting took; 0 for an explainer that does not learn
    :param attribution_sum: sum over the states of each attribution's mean; of masks, their area
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

    >>> from sb3_explain import Gradient, evaluate
    >>> evaluation = evaluate(agent, test, [Gradient(agent)], ["sparseness"], n_resamples=100)
    >>> list(evaluation.rows)
    ['gradient', 'empty', 'constant', 'random']
    >>> evaluation.values["gradient"]["sparseness"].shape == (len(test),)
    True

    :param agent: the agent, as :meth:`sb3_explain.agents.agent.Agent.describe` describes it
    :param states: number of states, episodes and clusters, baseline, confidence and random seed
    :param rows: what has been measured of each explainer, by name, in the table's order
    """

    agent: dict[str, Any]
    states: dict[str, Any]
    rows: dict[str, Row]

    @property
    def values(self) -> dict[str, dict[str, Array]]:
        """(n,) values of the states, by explainer and metric."""
        return {name: row.values for name, row in self.rows.items()}

    @property
    def curves(self) -> dict[str, dict[str, Array]]:
        """(P,) mean curve by explainer and metric, of metrics that are the area under a curve."""
        return {name: row.curves for name, row in self.rows.items()}

    def table(self) -> pd.DataFrame:
        """Return a row for each explainer and metric: the mean, its interval and its cost.

        ``forwards`` and ``seconds`` are those of explaining all states once, which an explainer's
        metrics share; ``metric_forwards`` and ``metric_seconds`` are those of the metric alone.
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
        """Return plain data, as in ``metrics.json``: shares in [0, 1], ``None`` where undefined."""
        explainers = {
            name: {
                **{metric: _replace_nan(interval) for metric, interval in row.intervals.items()},
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
    """Measure explainers of an agent on states, beside controls that explain nothing.

    Attributions are computed once per explainer and state, for the greedy action (the default
    target of other action spaces, see :mod:`sb3_explain.agents.action_spaces`), and shared by all
    metrics. Explainers with the same perturbations share forward passes of the agent, and each is
    charged for them. The controls are an empty mask, a constant mask, random attributions and the
    gradient; an explainer of the same name takes a control's place.

    >>> from sb3_explain import InputXGradient, evaluate
    >>> metrics = {"insertion": {"steps": 4}, "sparseness": {}}
    >>> evaluation = evaluate(agent, test, [InputXGradient(agent)], metrics, n_resamples=100)
    >>> table = evaluation.table()
    >>> sorted(table[table["metric"] == "insertion"]["explainer"])
    ['gradient', 'input_x_gradient', 'random']

    :param agent: the agent that the explainers explain
    :param states: states that no explainer has learned from
    :param explainers: explainers by name, or a list of explainers with names of their own
    :param metrics: names, or options by name such as ``{"insertion": {"steps": 50}}``; all metrics
        when not given. A metric that does not apply to an explainer is left out of its row
    :param baseline: what a removed feature becomes, the same for all explainers, whatever they mask
        with themselves: a name, which is fitted on ``states``; a baseline; or a baseline by key
        of the observation, such as an explainer's own ``baselines``. The outcome's
        ``states["baseline"]`` says which it was
    :param boxes: (n, H, W), true where a pixel of a state's newest frame lies in the box of an
        object, for the metric relevance_mass (see :func:`sb3_explain.read_boxes`)
    :param n_evaluated: number of states to measure, a random sample; all states when not given
    :param batch_size: number of states that are explained and measured at once
    :param seed: random seed of the sample, of the metrics' noise and of the bootstrap
    :param n_resamples: number of the bootstrap's resamples
    :param confidence: confidence level of the intervals, in (0, 1)
    :param progress: show a progress bar on standard error
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
    given = _name_explainers(agent, explainers)
    chosen = bind_options(metrics)
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
    explained_together = {
        **given,
        **{name: explainer(agent) for name, explainer in added.items() if name != "constant"},
    }
    positions = np.array_split(sample, range(batch_size, n, batch_size))

    known: dict[int, Tensor] = {}  # the targets of each batch, for which nobody pays

    def measure(named: Mapping[str, Explainer], advance: Callable[[int], Any]) -> dict[str, Row]:
        rows = {name: Measuring(explainer, chosen, seed) for name, explainer in named.items()}
        for number, some in enumerate(positions):
            batch = states.batch(agent, some, known.get(number), cache=ForwardCache()).aimed()
            known[number] = batch.target
            replacement = apply_baselines(baseline, batch)
            located = None if boxes is None else torch.as_tensor(boxes[some], device=batch.device)
            for row in rows.values():
                row.add(batch, replacement, located)
                advance(len(batch))
        return {name: measuring.row() for name, measuring in rows.items()}

    with progress_bar("evaluate", n * (len(given) + len(added)), "states", progress) as bar:
        rows = measure(explained_together, bar.update)
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


def integrate(curves: Tensor) -> Tensor:
    """Integrate curves over [0, 1] by the trapezoid rule with spacing 1/(P - 1).

    :param curves: (B, P)
    :return: (B,)
    """
    if curves.shape[1] == 1:  # of a single feature
        return curves[:, 0]
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)


def _name_explainers(
    agent: Agent, explainers: Mapping[str, Explainer] | Iterable[Explainer]
) -> dict[str, Explainer]:
    """Return explainers by name; refuse those of another agent and those not yet fitted."""
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
    """Measures all metrics that apply to one explainer, batch by batch.

    :param explainer: an explainer that is ready to explain
    :param metrics: metrics by name, with their options bind_options
    :param seed: random seed of the metrics' noise
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
        needed = {name: needs(metric) for name, metric in metrics.items()}
        for name, inputs in needed.items():
            require_known(f"input of the metric {name}", inputs, INPUTS)
        self.metrics = metrics
        #: what each metric that applies needs, by name
        self.inputs = {name: inputs for name, inputs in needed.items() if not inputs & lacking}
        self.generators = {name: np.random.default_rng(seed) for name in self.inputs}
        self.results: dict[str, list[Array]] = {name: [] for name in self.inputs}
        self._row = Row(measuring={name: Cost() for name in self.inputs})
        if isinstance(explainer, FittedExplainer):
            self._row.fit_seconds = explainer.fit_seconds

    def add(self, batch: StateBatch, replacement: Tensor, boxes: Tensor | None = None) -> None:
        """Explain and measure a batch of states.

        :param batch: B states with their targets
        :param replacement: (B, ...) what removed features become
        :param boxes: (B, H, W), true where a pixel of the newest frame lies in a box
        """
        explainer, row = self.explainer, self._row
        agent, saved = batch.agent, batch.cache.saved if batch.cache else Cost()
        with measure_cost(row.explaining, agent, saved):
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
        for name, names in self.inputs.items():
            inputs["rng"] = self.generators[name]
            with measure_cost(row.measuring[name], agent, saved):
                if "ordering" in names - inputs.keys():
                    inputs["ordering"] = order(batch.support(attributions))
                if "attribution" in names - inputs.keys():
                    inputs["attribution"] = attribute_q_value(batch)
                result = self.metrics[name](**{key: inputs[key] for key in names})
                self.results[name].append(result.double().cpu().numpy())

    def row(self) -> Row:
        """Return what has been measured, without intervals."""
        for name, parts in self.results.items():
            values = torch.from_numpy(np.concatenate(parts))
            if values.dim() == 2:
                self._row.curves[name] = values.mean(dim=0).numpy()
                values = integrate(values)
            self._row.values[name] = values.numpy()
        return self._row


def attribute_q_value(batch: StateBatch) -> Tensor:
    """Attribute Q1(s, pi(s)) of a pixel-based SAC agent to the pixels, by guided backpropagation.

    :return: (B, C, H, W)
    """
    actions = batch.agent.scores(batch.observations)
    attribution: Tensor = batch.agent.view.policy.attribution(batch.observations, actions)
    batch.agent.forwards += len(batch)
    return attribution


def _replace_nan(interval: Interval) -> dict[str, float | int | None]:
    """Return an interval for JSON, which has no NaN."""
    return {key: None if math.isnan(x) else x for key, x in interval._asdict().items()}
