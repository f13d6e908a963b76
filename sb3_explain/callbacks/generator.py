"""StateGeneratorCallback: a page of states that the agent of a training values high or low."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import require_supported_target
from sb3_explain.callbacks.arguments import require_names
from sb3_explain.callbacks.fitting import MIN_SECONDS, FittingCallback
from sb3_explain.common.numbers import require_whole
from sb3_explain.probing import StateGenerator
from sb3_explain.workflows.weaknesses import ALL, find_weaknesses, require_search_options


class StateGeneratorCallback(FittingCallback):
    """Fits a generative model to the training's last states and searches it for weaknesses.

    This happens at the end of the training. ``probes.html`` shows the states that were found, as
    that of ``sb3-explain probe`` does.

    :param n_states: number of states to fit to, the last ones of the training
    :param targets: what :func:`sb3_explain.probe` searches for, by names: ``"all"``,
        ``"value_low"``, ``"action:LEFT"``, ``"entropy"``, ``"q:LEFT"``, ``"LEFT - RIGHT"`` and
        others of :mod:`sb3_explain.agents.targets`
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
    StateGeneratorCallback: 1 time, ... s, ...% of the training's ... s; see ...generator
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
                require_supported_target(agent, name)

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
        self.show({path.stem: path for path in sorted(folder.glob("probes/*.png"))})
