"""Callbacks that fit a VisionMask or a generative model to the states of a training."""

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
from sb3_explain.agents.targets.energies import require_supported_target, require_target
from sb3_explain.callbacks.arguments import require_names, require_whole
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.training_states import Step, TrainingStates
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.training import training_options
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.probing import StateGenerator
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.fit_parts import split_for_fit
from sb3_explain.workflows.weaknesses import ALL, find_weaknesses, require_search_options

#: time limit of a fit, in seconds, when the budget is used up: enough for a step
MIN_SECONDS = 1e-3
#: number of parts: training, validation and test states
PARTS = 3
#: smallest share of the requested states that is enough for a fit
ENOUGH = 0.1


class FittingCallback(ExplainCallback):
    """A callback that holds the training's last states in memory, to fit a model to them.

    :param every: number of timesteps between two fits; ``None`` for one at the end
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param n_states: number of states to hold, of all environments together; a state of Atari takes
        7 kB
    :param options: further arguments of :class:`~sb3_explain.callbacks.base.ExplainCallback`
    """

    limits_itself = True

    def __init__(
        self, every: int | None, folder: str | None, *, n_states: int, **options: Any
    ) -> None:
        super().__init__(every, folder, **options)
        self.n_states = require_whole("n_states", n_states)

    def begin(self, agent: Agent) -> None:
        if self.every is None and self.timesteps_left < ENOUGH * self.n_states:
            raise ExplainError(
                f"{self.timesteps_left} timesteps give too few states to learn from: train longer, "
                f"or give n_states={max(1, int(self.timesteps_left / ENOUGH))} or less in place of "
                f"{self.n_states}"
            )
        self.seen = TrainingStates(self.n_states, agent.n_stack)

    @property
    def timesteps_left(self) -> int:
        """Largest number of timesteps of this training, which consists of whole rollouts."""
        model = self.model
        steps = model._total_timesteps - model.num_timesteps
        rollout = 1
        if isinstance(model, OnPolicyAlgorithm):
            rollout = model.n_steps * model.n_envs
        elif isinstance(model, OffPolicyAlgorithm) and isinstance(model.train_freq, TrainFreq):
            if model.train_freq.unit == TrainFrequencyUnit.EPISODE:
                return sys.maxsize  # episodes are of unknown length
            rollout = model.train_freq.frequency * model.n_envs
        return -(-steps // rollout) * rollout

    @property
    def ready(self) -> bool:
        return len(self.seen) >= ENOUGH * self.n_states

    def watch(self, step: Step) -> None:
        for env in range(len(step.ends)):
            self.seen.add(step, env)

    def states(self, agent: Agent) -> StateDataset:
        """Return the states of the training, as ``agent`` labels them.

        :param agent: the current agent
        :raises ExplainError: if there are too few
        """
        if not self.ready:
            raise ExplainError(
                f"{len(self.seen)} states are too few to learn from: train longer, or give a "
                f"smaller n_states than {self.n_states}"
            )
        states = self.seen.states(agent)
        if len(np.unique(states.episode)) < PARTS:  # long episodes are split by their pieces
            states = states.with_columns(episode=states.column("piece"))
        return states


class VisionMaskCallback(FittingCallback):
    """Fits a VisionMask to the agent, on the last states of its training, and saves it.

    The final one is saved in ``visionmask/``, earlier ones in ``visionmask/<timesteps>/``; they are
    loaded by :meth:`sb3_explain.VisionMask.load` with the agent of the same timestep. Every fit
    starts from the weights of the previous one.

    :param every: number of timesteps between two fits; ``None`` for one at the end
    :param n_states: number of states to fit to, the last ones of the training
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param explainer_kwargs: arguments of :class:`sb3_explain.VisionMask`
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param budget: largest duration, as a share of the training's own, after which a fit stops
    :param options: ``on_error``, ``seed``, ``verbose``, ``action_names`` and ``feature_names`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown or invalid argument

    >>> from sb3_explain import VisionMaskCallback
    >>> callback = VisionMaskCallback(
    ...     n_states=256, folder=folder, budget=None, fit_kwargs={"epochs": 1}
    ... )
    >>> from stable_baselines3 import PPO
    >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=256, seed=0)
    >>> model = model.learn(256, callback=callback)
    >>> sorted(path.name for path in folder.glob("visionmask/*"))
    ['visionmask.json', 'visionmask.safetensors']
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
        VisionMask.make_settings(self.explainer_kwargs)
        self.fit_kwargs = {"progress": False, **(fit_kwargs or {})}
        training_options(self.fit_kwargs)

    def begin(self, agent: Agent) -> None:
        super().begin(agent)
        VisionMask(agent, **self.explainer_kwargs)
        #: explainer of the last fit
        self.explainer: VisionMask | None = None

    def work(self, folder: Path) -> None:
        agent = self.take_agent()
        train, validation = split_for_fit(self.states(agent), self.seed)
        explainer = VisionMask(agent, seed=self.seed, **self.explainer_kwargs)
        if self.explainer is not None:
            explainer.network.load_state_dict(self.explainer.network.state_dict())
        # several fits share the budget that has accumulated so far
        limit = {}
        if math.isfinite(self.budget):
            limit["max_seconds"] = max(self.seconds_left, MIN_SECONDS)
        explainer.fit(train, validation, **{"seed": self.seed, **limit, **self.fit_kwargs})
        explainer.save(folder if self.ending else folder / str(self.num_timesteps))
        self.explainer = explainer


class StateGeneratorCallback(FittingCallback):
    """Fits a generative model to the training's last states and searches it for weaknesses.

    This happens at the end of the training. ``probes.html`` shows the states that were found, as
    that of ``sb3-explain probe`` does.

    :param n_states: number of states to fit to, the last ones of the training
    :param targets: see :func:`sb3_explain.find_weaknesses`
    :param n_samples: number of samples of each target
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param generator_kwargs: arguments of :class:`sb3_explain.StateGenerator`
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param probe_kwargs: options of :func:`sb3_explain.probe`
    :param budget: largest duration, as a share of the training's own, half of which is for the fit;
        targets for which no time is left are skipped
    :param options: ``on_error``, ``seed``, ``verbose``, ``action_names`` and ``feature_names`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown or invalid argument

    >>> from sb3_explain import StateGeneratorCallback
    >>> callback = StateGeneratorCallback(
    ...     n_states=256, targets=["value_low"], n_samples=4, folder=folder, budget=None,
    ...     fit_kwargs={"epochs": 1},
    ... )
    >>> from stable_baselines3 import PPO
    >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=256, seed=0)
    >>> model = model.learn(256, callback=callback)
    >>> (folder / "generator" / "probes.html").exists()
    True
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
        self.targets = require_names("targets", targets)
        for name in self.targets:
            if name != ALL:
                require_target(name)
        self.n_samples = require_whole("n_samples", n_samples)
        self.generator_kwargs = dict(generator_kwargs or {})
        StateGenerator.make_settings(self.generator_kwargs)
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
        agent = self.take_agent()
        states = self.states(agent)
        limit = max(self.seconds_left, MIN_SECONDS) if math.isfinite(self.budget) else None
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
