"""MetricsCallback: metrics of explainers of the agent while it learns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.callbacks.arguments import (
    make_trial,
    require_names,
    require_ready,
)
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.training_states import MonitorStates, Step
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.common.numbers import require_whole
from sb3_explain.evaluation.evaluate import Evaluation, evaluate
from sb3_explain.evaluation.metrics import bind_options
from sb3_explain.evaluation.targets import select_metrics
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.make import QUICK, default_explainer, make_explainer
from sb3_explain.states.dataset import StateDataset

log = logging.getLogger(__name__)

#: the control that is logged beside the explainers
NOTHING = "random"


class MetricsCallback(ExplainCallback):
    """Metrics of explainers over the training, as scalars ``metrics/<explainer>/<metric>``.

    They are measured on the same monitor states each time, which were sampled evenly over the first
    ``every`` timesteps, for the explainers and for random maps (``random``). ``metrics.json`` holds
    them with their intervals.

    :param explainers: names of explainers that need no fit, or explainer -> arguments; when not
        given :func:`sb3_explain.explainers.make.default_explainer`
    :param metrics: names of metrics, or metric -> options, see :func:`sb3_explain.evaluate`
    :param every: number of timesteps, of all environments together, between two measurements;
        ``None`` for one at the end
    :param n_states: number of monitor states
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param target: what is explained in every state, see :func:`sb3_explain.evaluate`
    :param budget: largest duration, as a share of the training's own, of all but the first
        time and that of the final agent
    :param options: ``on_error``, ``seed``, ``verbose``, ``action_names`` and ``feature_names`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown name, or an explainer that has to be fitted

    >>> from sb3_explain import MetricsCallback
    >>> callback = MetricsCallback(
    ...     ["gradient"], ["insertion"], every=None, n_states=8, folder=folder, budget=None
    ... )
    >>> from stable_baselines3 import PPO
    >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0)
    >>> model = model.learn(64, callback=callback)
    MetricsCallback: 1 time, ... s, ...% of the training's ... s; see ...metrics
    >>> (folder / "metrics" / "metrics.json").exists()
    True
    """

    kind = "metrics"

    def __init__(
        self,
        explainers: Sequence[str] | Mapping[str, Mapping[str, Any] | None] | None = None,
        metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] = (
            "insertion", "deletion", "sparseness", "accuracy@0.1",
        ),
        every: int | None = 50_000,
        n_states: int = 64,
        folder: str | None = None,
        *,
        target: TargetLike = None,
        budget: float | None = 0.05,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(every, folder, budget=budget, **options)
        named = {} if explainers is None else explainers or ()
        given = (
            named
            if isinstance(named, Mapping)
            else dict.fromkeys(require_names("explainers", named))
        )
        #: arguments of the explainers by name; none for the default one
        self.explainers = {name: dict(arguments or {}) for name, arguments in given.items()}
        for name, arguments in self.explainers.items():
            require_ready(name, arguments)
        measured = metrics or ()
        self.metrics = (
            measured if isinstance(measured, Mapping) else require_names("metrics", measured)
        )
        bind_options(self.metrics)
        self.target = target
        self.n_states = require_whole("n_states", n_states)

    @property
    def ready(self) -> bool:
        return len(self.monitor_states) > 0

    def begin(self, agent: Agent) -> None:
        target = None if self.target is None else find_target(agent, self.target)
        select_metrics(bind_options(self.metrics), target, agent, named=True)
        #: arguments of the explainers that support this agent
        self.supported = dict(self.explainers)
        if not self.supported:
            usual = default_explainer(agent, quick=True)
            self.supported[usual] = QUICK.get(usual, {})
        for name, arguments in list(self.supported.items()):
            try:
                made = make_trial(name, agent, arguments)
                if target is not None:
                    require_explained(made, target)
            except ExplainError as error:
                if len(self.supported) == 1:
                    raise
                log.warning("%s: %s; it is left out", type(self).__name__, error)
                del self.supported[name]
        self.monitor_states = MonitorStates(
            self.n_states, self.beginning, self.num_timesteps, agent.n_stack
        )
        #: measurements by timestep
        self.measured: dict[int, Evaluation] = {}

    def make_explainers(self, agent: Agent, states: StateDataset) -> dict[str, Explainer]:
        """Make the explainers of an agent, by name; their baselines are those of the states."""
        return {
            name: make_explainer(name, agent, states, **given)
            for name, given in self.supported.items()
        }

    def watch(self, step: Step) -> None:
        self.monitor_states.watch(step, self.num_timesteps)

    def evaluate_states(self, agent: Agent, states: StateDataset) -> Evaluation:
        """Measure all metrics of all explainers on some states."""
        return evaluate(
            agent, states, self.make_explainers(agent, states), self.metrics, target=self.target,
            seed=self.seed, warn=not self.measured,
        )  # fmt: skip

    def work(self, folder: Path) -> None:
        agent = self.take_agent()
        evaluation = self.evaluate_states(agent, self.monitor_states.states(agent))
        self.measured[self.num_timesteps] = evaluation
        shown = {*self.supported, NOTHING}
        self.write(
            {
                f"metrics/{name}/{metric}": float(interval.mean)
                for name, row in evaluation.rows.items()
                if name in shown
                for metric, interval in row.intervals.items()
                if metric not in row.failures
            }
        )
        write_json(
            folder / "metrics.json",
            [
                {"timesteps": timesteps, **evaluation.to_dict()}
                for timesteps, evaluation in self.measured.items()
            ],
        )
