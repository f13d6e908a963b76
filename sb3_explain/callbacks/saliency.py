"""SaliencyCallback: pictures of what the agent looks at, while it learns."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.callbacks.arguments import find_supported, require_ready, whole
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.tensorboard import gif_of, write_picture
from sb3_explain.callbacks.training_states import MonitorStates, Step, TrainingStates, snapshot_of
from sb3_explain.envs.spaces import join_keys
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.make import make_explainer
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import Tile, contact_sheet
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import (
    greedy_names,
    measure_of,
    picture_importance,
    pictures_of,
    scale_attributions,
    shares,
    write_saliency_video,
)

log = logging.getLogger(__name__)

#: of the game in the video, in pixels
HEIGHT = 300


class SaliencyCallback(ExplainCallback):
    """Maps of the greedy action over states of the training, in TensorBoard and as files.

    Each time two contact sheets are made: of the same monitor states as ever, which were met evenly
    over the first ``every`` timesteps, and of fresh states; and a short video of the last steps in
    the first environment. Of an agent that sees no images the importance of its features is drawn
    in place of both sheets.

    :param explainer: name of one that need not learn; ``"gradient"`` stands in for guided
        backpropagation where the agent has no ReLUs, and that is said
    :param every: timesteps, of all environments together
    :param n_states: on a sheet
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param explainer_kwargs: arguments of the explainer
    :param n_frames: of the video; 0 for none
    :param budget: seconds at most, as a share of the training's own
    :param options: ``on_error``, ``seed`` and ``verbose`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown explainer, or one that has to learn
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
        n_frames: int = 30,
        budget: float | None = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(every, folder, budget=budget, **options)
        self.explainer = explainer
        self.explainer_kwargs = dict(explainer_kwargs or {})
        require_ready(explainer, self.explainer_kwargs)
        self.n_states = whole("n_states", n_states)
        self.n_frames = whole("n_frames", n_frames) if n_frames else 0

    def begin(self, agent: Agent) -> None:
        if not self.boards:
            log.warning(
                "SaliencyCallback: pictures go to files alone, since there is no TensorBoard: "
                "give the model tensorboard_log (rl-zoo3: -tb) to see them there"
            )
        #: what explains this agent: the one that was asked for, or what stands in for it
        self.supported = find_supported(self.explainer, agent)
        make_explainer(self.supported, agent, **self.explainer_kwargs)
        self.monitor_states = MonitorStates(
            self.n_states, self.beginning, self.num_timesteps, agent.n_stack
        )
        self.recent = TrainingStates(max(self.n_states, self.n_frames), agent.n_stack)

    def watch(self, step: Step) -> None:
        self.monitor_states.watch(step, self.num_timesteps)
        self.recent.add(step, 0)

    def made(self) -> Explainer:
        """The explainer, of the agent as it is now."""
        return make_explainer(self.supported, snapshot_of(self.model), **self.explainer_kwargs)

    @property
    def ready(self) -> bool:
        return len(self.monitor_states) > 0

    def expected_seconds(self) -> float:
        explainer = self.made()
        states = self.recent.states(explainer.agent)
        began = time.perf_counter()
        explainer.attribute_batch(states.batch(explainer.agent, [0]))
        attribution_seconds = time.perf_counter() - began
        began = time.perf_counter()
        self.picture(states.subset(states.spread(2)), explainer, "fresh")
        sheet_seconds = time.perf_counter() - began
        # two sheets, and a video and its copy in TensorBoard, which take about as long
        return 4 * sheet_seconds + (2 * self.n_states + self.n_frames) * attribution_seconds

    def work(self, folder: Path) -> None:
        explainer = self.made()
        agent = explainer.agent
        recent = self.recent.states(agent)
        groups = {"monitor": self.monitor_states.states(agent), "fresh": recent}
        for group, states in groups.items():
            png = self.picture(states, explainer, group)
            save(folder / f"{group}_{self.num_timesteps}.png", png)
            self.show(group, png)
        if find_image(agent) is None or not self.n_frames:
            return
        path = folder / f"video_{self.num_timesteps}.mp4"
        shown = recent.spread(len(recent))[-self.n_frames :]
        write_saliency_video(
            path, recent, explainer, positions=shown, height=HEIGHT, progress=False
        )
        if self.boards:
            self.show("video", gif_of(path))

    def show(self, name: str, encoded: bytes) -> None:
        """Put a picture into TensorBoard."""
        for writer in self.boards:
            write_picture(writer, f"saliency/{name}", encoded, self.num_timesteps)
            writer.flush()

    def picture(self, states: StateDataset, explainer: Explainer, group: str) -> bytes:
        """PNG of states with their maps, or of the importance of features."""
        agent, name = explainer.agent, find_image(explainer.agent)
        which = "monitor states, the same each time" if group == "monitor" else "fresh states"
        when = f"{self.supported} after {self.num_timesteps:,} timesteps"
        if name is None:
            return picture_importance(states, explainer, title=f"{when}\n{which}").png
        positions = states.spread(self.n_states)
        batch = states.batch(agent, positions)
        attributions = scale_attributions(explainer, batch, name)
        scores = agent.scores(join_keys(batch.by_key), **batch.policy_inputs).cpu()
        tiles = [
            Tile(probabilities=share, action=action, picture=picture, attribution=one, signed=True)
            for share, action, picture, one in zip(
                shares(agent, scores).numpy(),
                greedy_names(agent, scores),
                pictures_of(states, positions, name),
                attributions,
                strict=True,
            )
        ]
        return contact_sheet(
            tiles, agent.target_names, title=f"{when}: {which}", measure=measure_of(agent)
        )
