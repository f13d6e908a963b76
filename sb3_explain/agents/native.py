"""Native resolution: from rendered RGB frames to an agent's observation, differentiably.

A preprocessing is any function from RGB frames (B, F, 3, H, W) in 0..255, oldest first, to the
agent's own observation. With it, :func:`native_agent` is the same agent on the rendered frames, so
that any explainer explains those.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_views import PolicyView
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations

Preprocessing = Callable[[Tensor], Tensor]

#: of R, G and B in the grey of OpenCV, which is that of the Arcade Learning Environment too
GRAY = (9798 / 2**15, 19235 / 2**15, 3735 / 2**15)
#: RGB states that are passed at once
BATCH = 32


@dataclass(frozen=True)
class AtariPreprocessing:
    """The frames of SB3's ``AtariWrapper``: grey, then area averages, each rounded to 8 bits.

    (B, F, 3, H, W) -> (B, F, h, w), equal to OpenCV's but for ties of the second rounding.

    :param size: (h, w) of the observation
    """

    size: tuple[int, int] = (84, 84)

    def __call__(self, frames: Tensor) -> Tensor:
        images = gray(frames)
        rows = area_weights(images.shape[2], self.size[0]).to(images.device)
        columns = area_weights(images.shape[3], self.size[1]).to(images.device)
        resized = rows @ images @ columns.T
        return pass_gradient(resized, resized.round())


@dataclass(frozen=True)
class MarioPreprocessing:
    """The frames of the Super Mario expert: grey, then bilinear, each rounded to 8 bits.

    (B, F, 3, H, W) -> (B, F, h, w). OpenCV's bilinear resize in fixed-point arithmetic differs by
    one grey level in some cells.

    :param size: (h, w) of the observation
    """

    size: tuple[int, int] = (84, 84)

    def __call__(self, frames: Tensor) -> Tensor:
        resized = F.interpolate(gray(frames), size=self.size, mode="bilinear")
        return pass_gradient(resized, resized.round())


def gray(frames: Tensor) -> Tensor:
    """(B, F, H, W) whole grey levels 0..255 of RGB frames (B, F, 3, H, W)."""
    if frames.dim() != 5 or frames.shape[2] != 3:
        raise ExplainError(
            f"RGB frames of shape {tuple(frames.shape)}: give (batch, frames, 3, height, width)"
        )
    red, green, blue = frames.float().unbind(dim=2)
    levels = GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue
    return pass_gradient(levels, (levels + 0.5).floor())


def pass_gradient(values: Tensor, rounded: Tensor) -> Tensor:
    """``rounded``, whose own gradient is 0 everywhere, with the gradient of ``values``."""
    return values + (rounded - values).detach()


@lru_cache
def area_weights(n_in: int, n_out: int) -> Tensor:
    """(n_out, n_in) share that each cell has in an area average of ``n_in / n_out`` cells.

    :raises ExplainError: if ``n_out`` is larger, where area averages are not defined
    """
    if n_out > n_in:
        raise ExplainError(f"area averages cannot enlarge {n_in} cells to {n_out}")
    edges = torch.arange(n_out + 1, dtype=torch.float64) * n_in / n_out
    cells = torch.arange(n_in, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return (overlap.clamp_min(0) * n_out / n_in).float()


def as_frames(observations: Observations) -> Tensor:
    """(B, F, 3, H, W) RGB frames of native observations (B, F * 3, H, W)."""
    assert isinstance(observations, Tensor)
    return observations.reshape(len(observations), -1, 3, *observations.shape[2:])


class NativeView(PolicyView):
    """A policy behind a preprocessing of the frames that it is shown.

    :param view: of the policy
    :param preprocessing: (B, F, 3, H, W) -> the policy's observation
    """

    def __init__(self, view: PolicyView, preprocessing: Preprocessing) -> None:
        super().__init__(view.policy)
        self.view = view
        self.preprocessing = preprocessing
        self.value_based = view.value_based
        self.maskable = view.maskable

    def _preprocess(self, observations: Observations) -> Tensor:
        return self.preprocessing(as_frames(observations))

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.view.scores(self._preprocess(observations), lstm_states)

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.view.values(self._preprocess(observations), lstm_states)

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self.view.scores_and_values(self._preprocess(observations), lstm_states)

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.view.std(self._preprocess(observations), lstm_states)

    def initial_lstm_states(self, batch_size: int) -> Tensor | None:
        return self.view.initial_lstm_states(batch_size)

    def next_lstm_states(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> Tensor | None:
        return self.view.next_lstm_states(self._preprocess(observations), lstm_states)


def native_agent(agent: Agent, preprocessing: Preprocessing, size: tuple[int, int]) -> Agent:
    """The agent on its rendered frames, which any explainer can explain.

    It observes (F * 3, H, W): F stacked RGB frames in 0..255, as :func:`native_states` gives them.
    It shares the agent's weights.

    :param agent: whose observation is one stack of images
    :param preprocessing: (B, F, 3, H, W) -> the agent's observation
    :param size: (H, W) of a rendered frame
    :raises ExplainError: if the preprocessing gives something else than what the agent observes
    """
    frames = torch.zeros(1, agent.n_stack, 3, *size, device=agent.device)
    given, expected = tuple(preprocessing(frames).shape[1:]), agent.observation_space.shape
    if given != expected:
        raise ExplainError(
            f"the preprocessing turns {agent.n_stack} frames of {size[0]} x {size[1]} pixels into "
            f"{given}, but the agent observes {expected}: choose its size"
        )
    return Agent(
        NativeView(agent.view, preprocessing),
        spaces.Box(0, 255, (agent.n_stack * 3, *size), np.uint8),
        agent.action_space,
        algo=agent.algo,
        action_names=agent.action_names,
        n_stack=agent.n_stack,
        recipe=agent.recipe,
        provenance=agent.provenance,
    )


def color_agent(agent: Agent) -> Agent:
    """An Atari agent on coloured frames of its own resolution, which it sees through :func:`grey`.

    It observes (F * 3, h, w), and its recipe makes an environment that gives such frames: it plays,
    collects states and is explained as any other agent. A generator of its states draws colours.

    :param agent: behind SB3's ``AtariWrapper``
    :raises ExplainError: if it is another
    """
    recipe = agent.recipe
    if recipe is None or not any("AtariWrapper" in name for name, _ in recipe.wrappers):
        raise ExplainError(
            "only agents behind SB3's AtariWrapper can be shown colours: leave colours out"
        )
    height, width = agent.observation_space.shape[1:]  # type: ignore[index]
    colored = native_agent(agent, gray, (height, width))
    wrappers = (*recipe.wrappers, ("sb3_explain.envs.wrappers.ColorFrames", {}))
    colored.recipe = dataclasses.replace(recipe, wrappers=wrappers)
    return colored
