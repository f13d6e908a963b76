"""SaliencyCallback: pictures of saliency maps of the agent while it learns."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_boards, find_image
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.callbacks.arguments import make_trial, require_ready
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.sheets import draw_bars, draw_panels, draw_pictures
from sb3_explain.callbacks.training_states import MonitorStates, Step, TrainingStates
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.numbers import require_whole
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.make import QUICK, default_explainer, make_explainer
from sb3_explain.explainers.showing import MOST_OBSERVATIONS
from sb3_explain.report import save
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.feature_pictures import picture_importance
from sb3_explain.workflows.saliency_video import write_saliency_video

log = logging.getLogger(__name__)

#: height of the game in the video, in pixels
HEIGHT = 300
#: number of the last states that a baseline is fitted on
BACKGROUND = 256


class SaliencyCallback(ExplainCallback):
    """Saliency maps of the greedy action in states of the training, in TensorBoard and as files.

    Each time two contact sheets are made, one of monitor states, which stay the same and were
    sampled evenly over the first ``every`` timesteps, and one of the newest states. Under each
    state stand the agent's action, its value, the step in the episode and the return so far. With
    them comes a short video of the last steps in the first environment or, for an agent without
    images, a figure of the importance of its features.

    :param explainer: name of an explainer that needs no fit; when not given
        :func:`sb3_explain.explainers.make.default_explainer`
    :param every: number of timesteps, of all environments together, between two explanations;
        ``None`` for one at the end
    :param n_states: number of states on a contact sheet
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param explainer_kwargs: arguments of the explainer
    :param target: what is explained in every state, such as ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); the action when not given
    :param n_frames: number of frames of the video; 0 for no video
    :param budget: largest duration, as a share of the training's own, of all but the first
        time and that of the final agent
    :param options: ``on_error``, ``seed``, ``verbose``, ``action_names`` and ``feature_names`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown explainer, or one that has to be fitted

    >>> from sb3_explain import SaliencyCallback
    >>> callback = SaliencyCallback("gradient", every=None, folder=folder, budget=None)
    >>> from stable_baselines3 import PPO
    >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0)
    >>> model = model.learn(64, callback=callback)
    SaliencyCallback: 1 time, ... s, ...% of the training's ... s; see ...saliency
    >>> sorted(path.name for path in folder.glob("saliency/*.png"))
    ['fresh_64.png', 'importance_64.png', 'monitor_64.png']
    """

    kind = "saliency"

    def __init__(
        self,
        explainer: str | None = None,
        every: int | None = 50_000,
        n_states: int = 8,
        folder: str | None = None,
        *,
        explainer_kwargs: Mapping[str, Any] | None = None,
        target: TargetLike = None,
        n_frames: int = 30,
        budget: float | None = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(every, folder, budget=budget, **options)
        self.explainer = explainer
        if not isinstance(explainer_kwargs, Mapping | None):
            raise ExplainError(
                f"explainer_kwargs={explainer_kwargs!r}: give a dict of the explainer's arguments"
            )
        self.explainer_kwargs = dict(explainer_kwargs or {})
        if explainer is not None:
            require_ready(explainer, self.explainer_kwargs)
        elif self.explainer_kwargs:
            raise ExplainError("explainer_kwargs are those of an explainer: name it, too")
        self.target = target
        self.n_states = require_whole("n_states", n_states)
        self.n_frames = require_whole("n_frames", n_frames) if n_frames else 0

    def begin(self, agent: Agent) -> None:
        if not (self.boards or self.trackers):
            log.warning(
                "SaliencyCallback: pictures are written to files only, without TensorBoard: give "
                "the model tensorboard_log (rl-zoo3: -tb) to see them there"
            )
        #: name of the explainer of this agent
        self.supported = (
            default_explainer(agent, quick=True) if self.explainer is None else self.explainer
        )
        #: its arguments
        self.options = self.explainer_kwargs if self.explainer else QUICK.get(self.supported, {})
        made = make_trial(self.supported, agent, self.options)
        if self.target is not None:
            require_explained(made, find_target(agent, self.target))
        self.monitor_states = MonitorStates(
            self.n_states, self.beginning, self.num_timesteps, agent.n_stack
        )
        #: number of recent states that the video or the importance shows
        self.n_newest = max(self.n_states, self.n_frames)
        n_recent = max(self.n_newest, BACKGROUND if made.takes_baseline else 1)
        self.recent = TrainingStates(n_recent, agent.n_stack)

    def watch(self, step: Step) -> None:
        self.monitor_states.watch(step, self.num_timesteps)
        self.recent.add(step, 0)

    @property
    def ready(self) -> bool:
        return len(self.monitor_states) > 0

    def work(self, folder: Path) -> None:
        agent = self.take_agent()
        recent = self.recent.states(agent)
        explainer = make_explainer(self.supported, agent, recent, **self.options)
        groups = {"monitor": self.monitor_states.states(agent), "fresh": recent}
        for group, states in groups.items():
            self.store(folder, group, self.draw_sheet(states, explainer, group))
        if find_image(agent) is None:
            # not the last ones, which follow each other and are alike
            some = recent.subset(recent.spread(self.n_newest))
            title = f"{self.describe()}\n{len(some)} of the last {len(recent):,} states"
            drawn = picture_importance(some, explainer, target=self.target, title=title)
            for name, picture in drawn.items():
                self.store(folder, name, picture.png)
        elif self.n_frames:
            path = folder / f"video_{self.num_timesteps}.mp4"
            shown = recent.spread(len(recent))[-self.n_frames :]
            write_saliency_video(
                path, recent, explainer, positions=shown, target=self.target, height=HEIGHT,
                progress=False,
            )  # fmt: skip
            self.show({"video": path})

    def store(self, folder: Path, name: str, png: bytes) -> None:
        """Save a picture of the current timestep, and show it in TensorBoard and open trackers.

        :param folder: folder to save it in
        :param name: name of the picture
        :param png: the picture
        """
        path = folder / f"{name}_{self.num_timesteps}.png"
        save(path, png)
        self.show({name: path})

    def describe(self) -> str:
        """Say which explainer explains the agent of which timestep."""
        return f"{get_explainer_label(self.supported)} after {self.num_timesteps:,} timesteps"

    def draw_sheet(self, states: StateDataset, explainer: Explainer, group: str) -> bytes:
        """Draw states with their maps, as a PNG.

        :param states: monitor states or fresh ones
        :param explainer: explainer of the current agent
        :param group: ``"monitor"`` or ``"fresh"``
        """
        agent, key = explainer.agent, find_image(explainer.agent)
        which = "monitor states, the same each time" if group == "monitor" else "fresh states"
        title = f"{self.describe()}: {which}"
        positions = states.spread(self.n_states)
        if self.target is not None:
            batch = states.batch(agent, positions[:1], self.target)
            title += f", for {batch.name_targets()[0]}"
        if key is not None:
            return draw_pictures(states, positions, explainer, key, self.target, title=title)
        if find_boards(agent):
            few = states.spread(min(self.n_states, MOST_OBSERVATIONS))
            return draw_panels(states, few, {self.supported: explainer}, self.target, title=title)
        return draw_bars(states, positions, explainer, self.target, title=title)
