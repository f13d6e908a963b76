"""Callbacks that learn about the agent from the states that its training passes through."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.arguments import names_of, whole
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.training_states import Step, TrainingStates, snapshot_of
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.training import training_options
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.probing import StateGenerator
from sb3_explain.probing.targets import require_supported_target, require_target
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.weaknesses import ALL, find_weaknesses, require_search_options

#: seconds of a fit for which no time is left: a step
LEAST = 1e-3
#: training, validation and test states
PARTS = 3
#: less than this share of the wanted states is too little to learn from
ENOUGH = 0.1


class FittingCallback(ExplainCallback):
    """A callback that keeps the training's last states in memory, to learn from them.

    :param every: timesteps between two fits; ``None`` for one at the end
    :param n_states: to keep, of all environments together; a state of Atari takes 7 kB
    :param options: of :class:`~sb3_explain.callbacks.base.ExplainCallback`
    """

    limits_itself = True

    def __init__(
        self, every: int | None, folder: str | None, *, n_states: int, **options: Any
    ) -> None:
        super().__init__(every, folder, **options)
        self.n_states = whole("n_states", n_states)

    def begin(self, agent: Agent) -> None:
        if self.every is None and self.coming < ENOUGH * self.n_states:
            raise ExplainError(
                f"{self.coming} timesteps give too few states to learn from: train longer, or give "
                f"n_states={max(1, int(self.coming / ENOUGH))} or less in place of {self.n_states}"
            )
        self.seen = TrainingStates(self.n_states, agent.n_stack)

    @property
    def coming(self) -> int:
        """Timesteps of this training at most, which is made of whole rollouts."""
        model = self.model
        steps = model._total_timesteps - model.num_timesteps
        rollout = 1
        if isinstance(model, OnPolicyAlgorithm):
            rollout = model.n_steps * model.n_envs
        elif isinstance(model, OffPolicyAlgorithm) and isinstance(model.train_freq, TrainFreq):
            if model.train_freq.unit == TrainFrequencyUnit.EPISODE:
                return sys.maxsize  # nobody knows how long they are
            rollout = model.train_freq.frequency * model.n_envs
        return -(-steps // rollout) * rollout

    @property
    def ready(self) -> bool:
        return len(self.seen) >= ENOUGH * self.n_states

    def watch(self, step: Step) -> None:
        for env in range(len(step.ends)):
            self.seen.add(step, env)

    def states(self, agent: Agent) -> StateDataset:
        """The states that were kept.

        :raises ExplainError: if they are few
        """
        if not self.ready:
            raise ExplainError(
                f"{len(self.seen)} states are too few to learn from: train longer, or give a "
                f"smaller n_states than {self.n_states}"
            )
        states = self.seen.states(agent)
        if len(np.unique(states.episode)) < PARTS:  # to be split by pieces of long episodes
            states = states.with_columns(episode=states.column("piece"))
        return states


class VisionMaskCallback(FittingCallback):
    """Fits a VisionMask to the agent, on the last states of its training, and saves it.

    The one of the end lies in ``visionmask/``, those before in ``visionmask/<timesteps>/``, to be
    read by :meth:`sb3_explain.VisionMask.load` with the agent of the same time. Every fit begins
    with the weights of the one before.

    :param every: timesteps between two fits; ``None`` for one at the end
    :param n_states: to learn from
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param explainer_kwargs: settings of :class:`sb3_explain.VisionMask`
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param budget: seconds at most, as a share of the training's own: a fit ends when they are over
    :param options: ``on_error``, ``seed`` and ``verbose`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    """

    kind = "visionmask"

    def __init__(
        self,
        every: int | None = None,
        n_states: int = 10_000,
        folder: str | None = None,
        *,
        explainer_kwargs: Mapping[str, Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
        budget: float | None = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(every, folder, n_states=n_states, budget=budget, **options)
        self.explainer_kwargs = dict(explainer_kwargs or {})
        VisionMask.settings_of(self.explainer_kwargs)
        self.fit_kwargs = {"progress": False, **(fit_kwargs or {})}
        training_options(self.fit_kwargs)

    def begin(self, agent: Agent) -> None:
        super().begin(agent)
        VisionMask(agent, **self.explainer_kwargs)
        #: of the last fit
        self.explainer: VisionMask | None = None

    def work(self, folder: Path) -> None:
        agent = snapshot_of(self.model)
        train, validation, _ = self.states(agent).split(seed=self.seed)
        explainer = VisionMask(agent, seed=self.seed, **self.explainer_kwargs)
        if self.explainer is not None:
            explainer.network.load_state_dict(self.explainer.network.state_dict())
        # several fits share the budget as far as it has come
        limit = {}
        if math.isfinite(self.budget):
            limit["max_seconds"] = max(self.seconds_left, LEAST)
        explainer.fit(train, validation, **{"seed": self.seed, **limit, **self.fit_kwargs})
        explainer.save(folder if self.ending else folder / str(self.num_timesteps))
        self.explainer = explainer


class StateGeneratorCallback(FittingCallback):
    """Learns to draw the agent's states, and searches them for its weaknesses, at the end.

    ``probes.html`` shows what was found, as ``sb3-explain probe`` does.

    :param n_states: to learn from: the last of the training
    :param targets: see :func:`sb3_explain.workflows.weaknesses.find_weaknesses`
    :param n_samples: number of samples of each target
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param generator_kwargs: settings of :class:`sb3_explain.StateGenerator`
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param probe_kwargs: options of :func:`sb3_explain.probe`
    :param budget: seconds at most, as a share of the training's own: half of them for learning;
        targets for which no time is left are left out
    :param options: ``on_error``, ``seed`` and ``verbose`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    """

    kind = "generator"

    def __init__(
        self,
        n_states: int = 10_000,
        targets: Sequence[str] = (ALL,),
        n_samples: int = 64,
        folder: str | None = None,
        *,
        generator_kwargs: Mapping[str, Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
        probe_kwargs: Mapping[str, Any] | None = None,
        budget: float | None = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(None, folder, n_states=n_states, budget=budget, **options)
        self.targets = names_of("targets", targets)
        for name in self.targets:
            if name != ALL:
                require_target(name)
        self.n_samples = whole("n_samples", n_samples)
        self.generator_kwargs = dict(generator_kwargs or {})
        StateGenerator.settings_of(self.generator_kwargs)
        self.fit_kwargs = {"progress": False, **(fit_kwargs or {})}
        StateGenerator.training_options(self.fit_kwargs)
        self.probe_kwargs = dict(probe_kwargs or {})
        require_search_options(self.n_samples, self.probe_kwargs)

    def begin(self, agent: Agent) -> None:
        super().begin(agent)
        StateGenerator(agent, **self.generator_kwargs)
        for name in self.targets:
            if name != ALL:
                require_supported_target(agent, name, None)

    def work(self, folder: Path) -> None:
        agent = snapshot_of(self.model)
        states = self.states(agent)
        limit = max(self.seconds_left, LEAST) if math.isfinite(self.budget) else None
        find_weaknesses(
            agent,
            folder,
            states=states,
            targets=self.targets,
            n_samples=self.n_samples,
            attributions=False,
            generator_kwargs=self.generator_kwargs,
            fit_kwargs=self.fit_kwargs,
            probe_kwargs=self.probe_kwargs,
            max_seconds=limit,
            seed=self.seed,
            progress=False,
        )
