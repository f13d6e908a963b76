"""One explainer measured by all metrics, batch by batch, and what that costs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.failures import describe_failure
from sb3_explain.evaluation.metrics import needs, takes
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.sgqn.policies import PixelPolicy
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import Cost

log = logging.getLogger(__name__)

Array = NDArray[Any]

#: what a metric may ask for by the names of its parameters
INPUTS = frozenset(
    {
        *("batch", "explainer", "attributions", "masks", "ordering"),
        *("baseline", "boxes", "attribution", "rng", "others"),
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
    :param failures: why a metric has no values, in one line, by metric
    """

    values: dict[str, Array] = field(default_factory=dict)
    curves: dict[str, Array] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    explaining: Cost = field(default_factory=Cost)
    measuring: dict[str, Cost] = field(default_factory=dict)
    fit_seconds: float = 0.0
    attribution_sum: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether nothing that applies could be measured."""
        return bool(self.values) and self.values.keys() == self.failures.keys()


def integrate(curves: Tensor) -> Tensor:
    """Integrate curves over [0, 1] by the trapezoid rule with spacing 1/(P - 1).

    :param curves: (B, P)
    :return: (B,)
    """
    if curves.shape[1] == 1:  # of a single feature
        return curves[:, 0]
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)


class Measuring:
    """Measures all metrics that apply to one explainer, batch by batch.

    A metric that fails is logged in one line and has no values from then on; if the explainer
    fails, none of its metrics has. The others stand.

    :param explainer: an explainer that is ready to explain
    :param metrics: metrics by name, with their options bind_options
    :param seed: random seed of the metrics' noise
    :param others: the other states of each state; metrics that need them are left out without
    """

    def __init__(
        self,
        explainer: Explainer,
        metrics: Mapping[str, Callable[..., Tensor]],
        seed: int,
        others: OtherStates | None = None,
    ) -> None:
        self.explainer = explainer
        self.others = others
        lacking = set() if explainer.gives_masks else {"masks"}
        lacking |= set() if explainer.ranks_features else {"ordering"}
        lacking |= (
            set() if isinstance(explainer.agent.view.policy, PixelPolicy) else {"attribution"}
        )
        lacking |= set() if others is not None else {"others"}
        needed = {name: needs(metric) for name, metric in metrics.items()}
        for name, inputs in needed.items():
            require_known(f"input of the metric {name}", inputs, INPUTS)
        self.metrics = metrics
        #: what each metric that applies takes, by name
        self.inputs = {
            name: takes(metrics[name]) for name, inputs in needed.items() if not inputs & lacking
        }
        self.generators = {name: np.random.default_rng(seed) for name in self.inputs}
        self.results: dict[str, list[Array]] = {name: [] for name in self.inputs}
        self._n_states, self._n_unknown, self._lost = 0, 0, False
        #: what the first failure raised
        self.first_error: Exception | None = None
        self._row = Row(measuring={name: Cost() for name in self.inputs})
        if isinstance(explainer, FittedExplainer):
            self._row.fit_seconds = explainer.fit_seconds

    def add(self, batch: StateBatch, replacement: Tensor, boxes: Tensor | None = None) -> None:
        """Explain and measure a batch of states.

        :param batch: B states with their targets
        :param replacement: (B, ...) what removed features become
        :param boxes: (B, H, W), true where a pixel of the newest frame lies in a box
        """
        self._n_states += len(batch)
        if self._lost:
            return
        explainer, row = self.explainer, self._row
        agent, saved = batch.agent, batch.cache.saved if batch.cache else Cost()
        try:
            with measure_cost(row.explaining, agent, saved):
                batch, counts = ask_known(explainer, batch)
                attributions = batch.flatten_keys(explainer.attribute_batch(batch))
            masks = explainer.to_masks(attributions) if explainer.gives_masks else attributions
        except Exception as error:
            self._lost = True
            self._report(explainer.name, self.inputs, error)
            return
        self._n_unknown += len(batch) - int(counts.sum())
        row.attribution_sum += float(attributions.mean()) * len(attributions)
        inputs: dict[str, Any] = {
            "batch": batch,
            "explainer": explainer,
            "attributions": attributions,
            "masks": masks,
            "baseline": replacement,
            "boxes": boxes,
            "others": self.others,
        }
        for name, names in self.inputs.items():
            if name in row.failures:
                continue
            inputs["rng"] = self.generators[name]
            try:
                with measure_cost(row.measuring[name], agent, saved):
                    if "ordering" in names - inputs.keys():
                        inputs["ordering"] = order(batch.get_relevance(attributions))
                    if "attribution" in names - inputs.keys():
                        inputs["attribution"] = attribute_q_value(batch)
                    result = self.metrics[name](**{key: inputs[key] for key in names})
                    values = require_each(result, batch).double().cpu().numpy()
                    values[~counts] = np.nan
                    self.results[name].append(values)
            except Exception as error:
                self._report(f"{name} of {explainer.name}", [name], error)

    def _report(self, what: str, metrics: Iterable[str], error: Exception) -> None:
        """Log a failure and remember it for metrics; what uses up all memory is raised."""
        reason = describe_failure(error)
        log.warning("%s failed (%s): it has no values, the others stand", what, reason)
        log.debug("failed", exc_info=error)
        self.first_error = self.first_error or error
        self._row.failures |= {name: reason for name in metrics if name not in self._row.failures}

    def row(self) -> Row:
        """Return what has been measured, without intervals."""
        if self._n_unknown:
            log.warning(
                "%s has no attributions of the target of %s of %s states, which do not count",
                self.explainer.name, self._n_unknown, self._n_states,
            )  # fmt: skip
        for name, parts in self.results.items():
            if name in self._row.failures:
                self._row.values[name] = np.full(self._n_states, np.nan)
                continue
            values = torch.from_numpy(np.concatenate(parts))
            if values.dim() == 2:
                counted = values[~values.isnan().any(dim=1)]
                if len(counted):
                    self._row.curves[name] = counted.mean(dim=0).numpy()
                values = integrate(values)
            self._row.values[name] = values.numpy()
        return self._row


def ask_known(explainer: Explainer, batch: StateBatch) -> tuple[StateBatch, Array]:
    """Replace targets that an explainer does not know, so that the other states can be measured.

    :return: the states, and whether each (B,) counts, since its target is its own
    """
    if batch.scalar is not None:
        return batch, np.ones(len(batch), dtype=bool)
    counts = np.array([target not in explainer.unknown_targets for target in batch.target.tolist()])
    known = sorted(set(range(batch.agent.n_targets)).difference(explainer.unknown_targets))
    if counts.all() or not known:
        return batch, np.ones(len(batch), dtype=bool)
    target = torch.where(torch.from_numpy(counts).to(batch.device), batch.target, known[0])
    return batch.with_target(target), counts


def require_each(result: Tensor, batch: StateBatch) -> Tensor:
    """Return what a metric returned.

    :raises ExplainError: if it is not a value, or a curve, for each state
    """
    if result.dim() not in (1, 2) or len(result) != len(batch):
        raise ExplainError(
            f"it returned {tuple(result.shape)} for {len(batch)} states: return a value or a curve "
            "for each"
        )
    return result


def attribute_q_value(batch: StateBatch) -> Tensor:
    """Attribute Q1(s, pi(s)) of a pixel-based SAC agent to the pixels, by guided backpropagation.

    :return: (B, C, H, W)
    """
    actions = batch.agent.scores(batch.observations)
    attribution: Tensor = batch.agent.view.policy.attribution(batch.observations, actions)
    batch.agent.forwards += len(batch)
    return attribution
