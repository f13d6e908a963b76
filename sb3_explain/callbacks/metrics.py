"""MetricsCallback: how faithful maps of the agent are, while it learns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.arguments import find_supported, names_of, require_ready, whole
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.training_states import MonitorStates, Step, snapshot_of
from sb3_explain.common.files import write_json
from sb3_explain.evaluation.evaluate import Evaluation, evaluate
from sb3_explain.evaluation.metrics import bind_options
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.make import make_explainer
from sb3_explain.states.dataset import StateDataset

#: a row that says what a map is worth that knows nothing
NOTHING = "random"
#: states of the trial that says how long a measurement will take
TRIAL = 2


class MetricsCallback(ExplainCallback):
    """Metrics of explainers over the training, as scalars ``metrics/<explainer>/<metric>``.

    They are measured on the same monitor states each time, which were met evenly over the first
    ``every`` timesteps, beside maps of noise (``random``). ``metrics.json`` has them with their
    intervals.

    :param explainers: names of explainers that need not learn, or their arguments by name
    :param metrics: names, or options by name, as :func:`sb3_explain.evaluate` takes them
    :param every: timesteps, of all environments together
    :param n_states: to measure on
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param budget: seconds at most, as a share of the training's own
    :param options: ``on_error``, ``seed`` and ``verbose`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown name, or an explainer that has to learn
    """

    kind = "metrics"

    def __init__(
        self,
        explainers: Sequence[str] | Mapping[str, Mapping[str, Any] | None] = ("guided_backprop",),
        metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] = (
            "insertion", "deletion", "sparseness", "accuracy@0.1",
        ),
        every: int | None = 50_000,
        n_states: int = 64,
        folder: str | None = None,
        *,
        budget: float | None = 0.05,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(every, folder, budget=budget, **options)
        named = explainers or ()
        given = (
            named if isinstance(named, Mapping) else dict.fromkeys(names_of("explainers", named))
        )
        self.explainers = {name: dict(arguments or {}) for name, arguments in given.items()}
        for name, arguments in self.explainers.items():
            require_ready(name, arguments)
        measured = metrics or ()
        self.metrics = measured if isinstance(measured, Mapping) else names_of("metrics", measured)
        bind_options(self.metrics)
        self.n_states = whole("n_states", n_states)

    @property
    def ready(self) -> bool:
        return len(self.monitor_states) > 0

    def begin(self, agent: Agent) -> None:
        #: what explains this agent: the names that were asked for, or what stands in for them
        self.supported: dict[str, dict[str, Any]] = {}
        for name, arguments in self.explainers.items():
            # one that was asked for itself counts before one that it stands in for
            if (stand_in := find_supported(name, agent)) == name or stand_in not in self.explainers:
                self.supported[stand_in] = arguments
        self.made(agent)
        self.monitor_states = MonitorStates(
            self.n_states, self.beginning, self.num_timesteps, agent.n_stack
        )
        #: what has been measured, by timesteps
        self.measured: dict[int, Evaluation] = {}

    def made(self, agent: Agent) -> dict[str, Explainer]:
        """The explainers of an agent by name."""
        return {
            name: make_explainer(name, agent, **given) for name, given in self.supported.items()
        }

    def watch(self, step: Step) -> None:
        self.monitor_states.watch(step, self.num_timesteps)

    def evaluation(self, agent: Agent, states: StateDataset) -> Evaluation:
        """All metrics of all explainers on some states."""
        return evaluate(agent, states, self.made(agent), self.metrics, seed=self.seed)

    def expected_seconds(self) -> float:
        agent = snapshot_of(self.model)
        states = self.monitor_states.states(agent)
        few = states.subset(states.spread(TRIAL))
        began = time.perf_counter()
        self.evaluation(agent, few)
        return (time.perf_counter() - began) * max(1.0, len(states) / len(few))

    def work(self, folder: Path) -> None:
        agent = snapshot_of(self.model)
        evaluation = self.evaluation(agent, self.monitor_states.states(agent))
        self.measured[self.num_timesteps] = evaluation
        shown = {*self.supported, NOTHING}
        self.write(
            {
                f"metrics/{name}/{metric}": float(interval.mean)
                for name, row in evaluation.rows.items()
                if name in shown
                for metric, interval in row.intervals.items()
            }
        )
        write_json(
            folder / "metrics.json",
            [
                {"timesteps": timesteps, **evaluation.to_dict()}
                for timesteps, evaluation in self.measured.items()
            ],
        )
