"""VisionMaskCallback: a VisionMask of the agent, fitted to the states of its training."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.fitting import MIN_SECONDS, FittingCallback
from sb3_explain.callbacks.sheets import draw_panels
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.training import training_options
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.explainers.make import make_quick_explainer
from sb3_explain.explainers.showing import MOST_OBSERVATIONS
from sb3_explain.report import save
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.fit_parts import split_for_fit

#: rough duration of the first sheet of masks, in seconds
FIRST_SHEET = 2.0


class VisionMaskCallback(FittingCallback):
    """Fits a VisionMask to the agent, on the last states of its training, and saves it.

    The final one is saved in ``visionmask/``, earlier ones in ``visionmask/<timesteps>/``; they are
    loaded by :meth:`sb3_explain.VisionMask.load` with the agent of the same timestep. Every fit
    starts from the weights of the previous one. After each, ``masks_<timesteps>.png`` and
    TensorBoard show its masks of states that it has not learned from, beside a saliency map of the
    action.

    :param every: number of timesteps between two fits; ``None`` for one at the end
    :param n_states: number of states to fit to, the last ones of the training
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param explainer_kwargs: arguments of :class:`sb3_explain.VisionMask`
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :param n_shown: number of states on the sheet of masks, at most 16; 0 for no sheet
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
    VisionMaskCallback: 1 time, ... s, ...% of the training's ... s; see ...visionmask
    >>> sorted(path.name for path in folder.glob("visionmask/*"))
    ['masks_256.png', 'schedule.json', 'visionmask.json', 'visionmask.safetensors']
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
        n_shown: int = 4,
        budget: float | None = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(every, folder, n_states=n_states, budget=budget, **options)
        self.explainer_kwargs = dict(explainer_kwargs or {})
        VisionMask.make_settings(self.explainer_kwargs)
        self.fit_kwargs = {"progress": False, **(fit_kwargs or {})}
        training_options(self.fit_kwargs)
        self.n_shown = require_whole("n_shown", n_shown, minimum=0)
        if self.n_shown > MOST_OBSERVATIONS:
            raise ExplainError(f"n_shown={n_shown}: a sheet has {MOST_OBSERVATIONS} at most")

    def begin(self, agent: Agent) -> None:
        super().begin(agent)
        VisionMask(agent, **self.explainer_kwargs)
        #: explainer of the last fit
        self.explainer: VisionMask | None = None
        #: what the next sheet is expected to take, in seconds
        self.sheet_seconds = FIRST_SHEET if self.n_shown else 0.0

    def work(self, folder: Path) -> None:
        agent = self.take_agent()
        train, validation = split_for_fit(self.states(agent), self.seed)
        explainer = VisionMask(agent, seed=self.seed, **self.explainer_kwargs)
        if self.explainer is not None:
            explainer.network.load_state_dict(self.explainer.network.state_dict())
        # several fits share the budget that has accumulated so far
        limit = {}
        if math.isfinite(self.budget):
            limit["max_seconds"] = max(self.seconds_left - self.sheet_seconds, MIN_SECONDS)
        explainer.fit(train, validation, **{"seed": self.seed, **limit, **self.fit_kwargs})
        explainer.save(folder if self.ending else folder / str(self.num_timesteps))
        self.explainer = explainer
        if self.n_shown:
            began = time.perf_counter()
            self.show_masks(folder, train, validation)
            self.sheet_seconds = time.perf_counter() - began

    def show_masks(self, folder: Path, train: StateDataset, states: StateDataset) -> None:
        """Draw masks of some states, each beside a saliency map of the action.

        :param folder: folder to write to
        :param train: states that the explainer has learned from
        :param states: states that it has not learned from
        """
        assert self.explainer is not None
        saliency = make_quick_explainer(self.explainer.agent, train)
        explainers = {VisionMask.name: self.explainer, saliency.name: saliency}
        path = folder / f"masks_{self.num_timesteps}.png"
        title = f"{get_explainer_label(VisionMask.name)} after {self.num_timesteps:,} timesteps"
        save(path, draw_panels(states, states.spread(self.n_shown), explainers, title=title))
        self.show({"masks": path})
