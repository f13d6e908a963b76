"""SaliencyCallback: pictures of saliency maps of the agent while it learns."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.callbacks.arguments import find_supported, require_ready, require_whole
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.tensorboard import FPS, WIDTH, write_picture
from sb3_explain.callbacks.training_states import MonitorStates, Step, TrainingStates
from sb3_explain.explainers.base import Explainer, require_explained
from sb3_explain.explainers.make import make_explainer
from sb3_explain.explainers.showing import MOST_OBSERVATIONS, Look, draw_batch
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import Tile, contact_sheet
from sb3_explain.report.gif import encode_gif
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import (
    compute_shares,
    get_pictures,
    name_greedy_actions,
    name_measure,
    picture_importance,
)
from sb3_explain.workflows.saliency_video import scale_attributions, write_saliency_video

log = logging.getLogger(__name__)

#: height of the game in the video, in pixels
HEIGHT = 300


class SaliencyCallback(ExplainCallback):
    """Saliency maps of the greedy action in states of the training, in TensorBoard and as files.

    Each time two contact sheets are made, one of monitor states, which stay the same and were
    sampled evenly over the first ``every`` timesteps, and one of the newest states; and a short
    video of the last steps in the first environment. For an agent without images the importance of
    its features is drawn instead of the contact sheets.

    :param explainer: name of an explainer that needs no fit; guided backpropagation is replaced,
        with a warning, if it does not support the agent: by ``"gradient"`` if the agent has no
        ReLUs, and by ``"feature_ablation"`` if it observes categories alone
    :param every: number of timesteps, of all environments together, between two explanations;
        ``None`` for one at the end
    :param n_states: number of states on a contact sheet
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param explainer_kwargs: arguments of the explainer
    :param target: what is explained in every state, such as ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); the action when not given
    :param n_frames: number of frames of the video; 0 for no video
    :param budget: largest duration, as a share of the training's own
    :param options: ``on_error``, ``seed``, ``verbose``, ``action_names`` and ``feature_names`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown explainer, or one that has to be fitted

    >>> from sb3_explain import SaliencyCallback
    >>> callback = SaliencyCallback("gradient", every=None, folder=folder, budget=None)
    >>> from stable_baselines3 import PPO
    >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0)
    >>> model = model.learn(64, callback=callback)
    >>> sorted(path.name for path in folder.glob("saliency/*.png"))
    ['fresh_64.png', 'monitor_64.png']
    """

    kind = "saliency"

    def __init__(
        self,
        explainer: str = "guided_backprop",
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
        self.explainer_kwargs = dict(explainer_kwargs or {})
        require_ready(explainer, self.explainer_kwargs)
        self.target = target
        self.n_states = require_whole("n_states", n_states)
        self.n_frames = require_whole("n_frames", n_frames) if n_frames else 0

    def begin(self, agent: Agent) -> None:
        if not self.boards:
            log.warning(
                "SaliencyCallback: pictures are written to files only, without TensorBoard: give "
                "the model tensorboard_log (rl-zoo3: -tb) to see them there"
            )
        #: name of the explainer of this agent: the one requested, or its replacement
        self.supported = find_supported(self.explainer, agent)
        made = make_explainer(self.supported, agent, **self.explainer_kwargs)
        if self.target is not None:
            require_explained(made, find_target(agent, self.target))
        self.monitor_states = MonitorStates(
            self.n_states, self.beginning, self.num_timesteps, agent.n_stack
        )
        self.recent = TrainingStates(max(self.n_states, self.n_frames), agent.n_stack)

    def watch(self, step: Step) -> None:
        self.monitor_states.watch(step, self.num_timesteps)
        self.recent.add(step, 0)

    def make_explainer(self) -> Explainer:
        """Make the explainer of the current agent."""
        return make_explainer(self.supported, self.take_agent(), **self.explainer_kwargs)

    @property
    def ready(self) -> bool:
        return len(self.monitor_states) > 0

    def expected_seconds(self) -> float:
        explainer = self.make_explainer()
        states = self.recent.states(explainer.agent)
        began = time.perf_counter()
        explainer.attribute_batch(states.batch(explainer.agent, [0], self.target))
        attribution_seconds = time.perf_counter() - began
        began = time.perf_counter()
        self.draw_picture(states.subset(states.spread(2)), explainer, "fresh")
        sheet_seconds = time.perf_counter() - began
        # two sheets, and a video and its copy in TensorBoard, which take about as long
        return 4 * sheet_seconds + (2 * self.n_states + self.n_frames) * attribution_seconds

    def work(self, folder: Path) -> None:
        explainer = self.make_explainer()
        agent = explainer.agent
        recent = self.recent.states(agent)
        groups = {"monitor": self.monitor_states.states(agent), "fresh": recent}
        for group, states in groups.items():
            png = self.draw_picture(states, explainer, group)
            save(folder / f"{group}_{self.num_timesteps}.png", png)
            self.show(group, png)
        if find_image(agent) is None or not self.n_frames:
            return
        path = folder / f"video_{self.num_timesteps}.mp4"
        shown = recent.spread(len(recent))[-self.n_frames :]
        write_saliency_video(
            path, recent, explainer, positions=shown, target=self.target, height=HEIGHT,
            progress=False,
        )  # fmt: skip
        if self.boards:
            self.show("video", encode_gif(path, FPS, WIDTH))

    def show(self, name: str, encoded: bytes) -> None:
        """Write a picture to TensorBoard.

        :param name: name of the picture
        :param encoded: PNG or GIF
        """
        for writer in self.boards:
            write_picture(writer, f"saliency/{name}", encoded, self.num_timesteps)
            writer.flush()

    def draw_picture(self, states: StateDataset, explainer: Explainer, group: str) -> bytes:
        """Draw states with their maps, or the importance of features, as a PNG."""
        agent, name = explainer.agent, find_image(explainer.agent)
        which = "monitor states, the same each time" if group == "monitor" else "fresh states"
        when = f"{self.supported} after {self.num_timesteps:,} timesteps"
        if name is None and self.target is not None:
            return self.draw_features(states, explainer, f"{when}: {which}")
        if name is None:
            drawn = picture_importance(states, explainer, title=f"{when}\n{which}")
            return next(iter(drawn.values())).png
        positions = states.spread(self.n_states)
        batch = states.batch(agent, positions, self.target)
        attributions = scale_attributions(explainer, batch, name)
        scores = batch.own_scores.cpu()
        tiles = [
            Tile(probabilities=share, action=action, picture=picture, attribution=one, signed=True)
            for share, action, picture, one in zip(
                compute_shares(agent, scores).numpy(),
                name_greedy_actions(agent, scores),
                get_pictures(states, positions, agent, name),
                attributions,
                strict=True,
            )
        ]
        title = f"{when}: {which}"
        if self.target is not None:
            title += f", for {batch.name_targets()[0]}"
        return contact_sheet(tiles, agent.target_names, title=title, measure=name_measure(agent))

    def draw_features(self, states: StateDataset, explainer: Explainer, title: str) -> bytes:
        """Draw the features of states with their attributions to the target, as a PNG."""
        positions = states.spread(min(self.n_states, MOST_OBSERVATIONS))
        batch = states.batch(explainer.agent, positions, self.target)
        attributions = explainer.attribute_batch(batch)
        figure = draw_batch(
            batch, attributions, Look(), name=self.supported, is_mask=explainer.gives_masks,
            theme="light",
        )  # fmt: skip
        figure.suptitle(title)
        png = io.BytesIO()
        figure.savefig(png, format="png")
        return png.getvalue()
