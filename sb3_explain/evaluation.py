"""Explainers x metrics x states -> a table with confidence intervals and costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.bootstrap import Interval, clusters_of, confidence_interval
from sb3_explain.errors import ExplainError
from sb3_explain.explainers.base import Explainer, TrainedExplainer
from sb3_explain.maps import order
from sb3_explain.metrics import bound, needs
from sb3_explain.perturbation import CHUNK
from sb3_explain.progress import progress_bar
from sb3_explain.references import Reference, make_reference
from sb3_explain.registry import EXPLAINERS
from sb3_explain.states import StateDataset

Array = NDArray[Any]

#: rows that every table has; the constant mask comes with the mean area of the first real masks
REFERENCE_ROWS = ("empty", "constant", "random", "gradient")
#: frames on which a reference is fitted when it is given by name
REFERENCE_FRAMES = 2000


@dataclass
class Cost:
    """What something took: observations passed through the agent, and seconds."""

    passes: int = 0
    seconds: float = 0.0

    @contextmanager
    def measured(self, agent: Agent) -> Iterator[None]:
        """Add what happens inside."""
        passes, begin = agent.passes, time.perf_counter()
        yield
        self.passes += agent.passes - passes
        self.seconds += time.perf_counter() - begin


@dataclass
class Row:
    """One explainer in an evaluation.

    :param values: per metric, (n,) values of the states, NaN where a state does not count
    :param curves: per metric that has one, its mean over the states, (P,)
    :param intervals: per metric, mean and bounds
    :param explaining: cost of one map per state
    :param measuring: cost of each metric, without the map
    :param fit_seconds: what it took to learn, 0 for an explainer that does not
    :param mean_map: mean of all maps; for masks, their area
    """

    values: dict[str, Array] = field(default_factory=dict)
    curves: dict[str, Array] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    explaining: Cost = field(default_factory=Cost)
    measuring: dict[str, Cost] = field(default_factory=dict)
    fit_seconds: float = 0.0
    mean_map: float = 0.0


@dataclass
class Evaluation:
    """The outcome of :func:`evaluate`.

    :param agent: which agent, as :meth:`sb3_explain.agent.Agent.describe` says it
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

        ``agent_passes`` and ``seconds`` are those of explaining all states once, which an
        explainer's metrics share; ``metric_passes`` and ``metric_seconds`` those of the metric.
        """
        lines = [
            {
                "explainer": name,
                "metric": metric,
                **interval._asdict(),
                "states": self.states["n"],
                "episodes": self.states["episodes"],
                "agent_passes": row.explaining.passes,
                "seconds": row.explaining.seconds,
                "fit_seconds": row.fit_seconds,
                "metric_passes": row.measuring[metric].passes,
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
                    "agent_passes": row.explaining.passes,
                    "seconds": row.explaining.seconds,
                    "fit_seconds": row.fit_seconds,
                    "metric_passes": sum(cost.passes for cost in row.measuring.values()),
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
    reference: str | Reference | None = None,
    n_states: int | None = None,
    batch_size: int = CHUNK,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = False,
) -> Evaluation:
    """Measure explainers of an agent on states, beside the rows that explain nothing.

    Maps are computed once per explainer and state, for the greedy action, and shared by all of its
    metrics. An empty mask, a constant mask, a random map and the gradient are added unless given.

    :param agent: the agent that the explainers explain, with Discrete actions
    :param states: states that no explainer has learned from
    :param explainers: by name, or a list that goes by the registry's names
    :param metrics: names, or options by name such as ``{"insertion": {"steps": 50}}``; all metrics
        when not given. A metric that does not apply to an explainer is left out of its row
    :param reference: what a removed cell becomes: the reference of the first explainer that has one
        when not given, else ``"background"``. A reference given by name is fitted on frames of
        ``states``
    :param n_states: a random sample of this many; all states when not given
    :param batch_size: states that are explained and measured at once
    :param seed: of the sample, of the metrics' noise and of the bootstrap
    :param n_resamples: draws of the bootstrap
    :param confidence: of the intervals, in (0, 1)
    :param progress: show a bar on standard error
    :raises ExplainError: for an unknown metric, no states, actions that are not Discrete, Dict
        observations, or an explainer that has still to be fitted
    """
    if not isinstance(agent.action_space, spaces.Discrete):
        kind = type(agent.action_space).__name__
        raise ExplainError(f"metrics are defined for Discrete actions; this agent's are {kind}")
    if agent.recurrent:
        raise ExplainError("metrics do not serve recurrent agents")
    if len(states) == 0 or (n_states is not None and n_states < 1):
        raise ExplainError("there are no states to evaluate on: collect some first")
    if batch_size < 1 or n_resamples < 1 or not 0 < confidence < 1:
        raise ExplainError(
            f"batch_size={batch_size}, n_resamples={n_resamples}, confidence={confidence}: give "
            "positive numbers, and a confidence below 1"
        )
    given = _named(agent, explainers)
    chosen = bound(metrics)

    n = min(n_states or len(states), len(states))
    sample = np.sort(np.random.default_rng(seed).choice(len(states), n, replace=False))
    if reference is None:
        own = [explainer.reference for explainer in given.values() if explainer.reference]
        reference = own[0] if own else "background"
    if isinstance(reference, str):
        reference = make_reference(reference, states.frames(sample[:: -(-n // REFERENCE_FRAMES)]))

    added = [name for name in REFERENCE_ROWS if name not in given]
    areas: list[float] = []  # of those that give masks
    rows: dict[str, Row] = {}
    with progress_bar("evaluate", n * (len(given) + len(added)), "maps", progress) as bar:
        for name in (*given, *added):
            if name in given:
                explainer = given[name]
            elif name == "constant" and areas:
                explainer = EXPLAINERS[name](agent, area=areas[0])
            else:
                explainer = EXPLAINERS[name](agent)
            batches = _batches(agent, states, sample, batch_size)
            rows[name] = _measure(agent, explainer, batches, chosen, reference, seed, bar.update)
            if explainer.gives_masks and name not in REFERENCE_ROWS:
                areas.append(rows[name].mean_map)
    clusters = clusters_of(states.episode)[sample]
    for row in rows.values():
        for metric, values in row.values.items():
            row.intervals[metric] = confidence_interval(
                values, clusters, n_resamples=n_resamples, confidence=confidence, seed=seed
            )
    described = {
        "n": n,
        "episodes": len(np.unique(states.episode[sample])),
        "clusters": len(np.unique(clusters)),
        "reference": reference.name,
        "confidence": confidence,
        "seed": seed,
    }
    return Evaluation(agent.describe(), described, rows)


def area_under(curves: Tensor) -> Tensor:
    """(B,) areas of curves (B, P) over [0, 1], by the trapezoid rule with spacing 1/(P - 1)."""
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)


def _batches(
    agent: Agent, states: StateDataset, positions: Array, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Observations (B, ...), float32 on the agent's device, and the agent's action (B,) in each."""
    for chosen in np.array_split(positions, range(batch_size, len(positions), batch_size)):
        observations = agent.tensor(states.observations(chosen))
        if not isinstance(observations, Tensor):
            raise ExplainError("metrics are not defined for Dict observations")
        observations = observations.float()
        with torch.no_grad():
            target = agent.greedy(observations)
        yield observations, target


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
        if isinstance(explainer, TrainedExplainer):
            explainer.require_fitted()
    return named


def _measure(
    agent: Agent,
    explainer: Explainer,
    batches: Iterable[tuple[Tensor, Tensor]],
    metrics: Mapping[str, Callable[..., Tensor]],
    reference: Reference,
    seed: int,
    advance: Callable[[int], Any],
) -> Row:
    """All metrics that apply to one explainer."""
    lacking = set() if explainer.gives_masks else {"masks"}
    lacking |= set() if explainer.orders_cells else {"ordering"}
    wanted = {name: needs(metric) for name, metric in metrics.items()}
    wanted = {name: inputs for name, inputs in wanted.items() if not inputs & lacking}
    generators = {name: np.random.default_rng(seed) for name in wanted}

    row = Row(measuring={name: Cost() for name in wanted})
    if isinstance(explainer, TrainedExplainer):
        row.fit_seconds = explainer.fit_seconds
    results: dict[str, list[Array]] = {name: [] for name in wanted}
    map_sum, n_maps = 0.0, 0
    for observations, target in batches:
        with row.explaining.measured(agent):
            maps = explainer.attribute(observations, target).detach()
            map_sum += float(maps.mean()) * len(maps)
        n_maps += len(maps)
        inputs: dict[str, Any] = {
            "agent": agent,
            "explainer": explainer,
            "observations": observations,
            "target": target,
            "maps": maps,
            "masks": explainer.shown(maps) if explainer.gives_masks else maps,
            "reference": reference,
        }
        for name, names in wanted.items():
            inputs["rng"] = generators[name]
            with row.measuring[name].measured(agent):
                if "ordering" in names - inputs.keys():
                    inputs["ordering"] = order(maps)
                result = metrics[name](**{key: inputs[key] for key in names})
                results[name].append(result.double().cpu().numpy())
        advance(len(maps))
    row.mean_map = map_sum / n_maps
    for name, parts in results.items():
        joined = torch.from_numpy(np.concatenate(parts))
        if joined.dim() == 2:
            row.curves[name] = joined.mean(dim=0).numpy()
            joined = area_under(joined)
        row.values[name] = joined.numpy()
    return row


def _plain(interval: Interval) -> dict[str, float | int | None]:
    """An interval for JSON, which has no NaN."""
    return {key: None if math.isnan(x) else x for key, x in interval._asdict().items()}
