"""Agents that observe rendered RGB frames, so that explanations have the frames' resolution.

A preprocessing is any differentiable function from RGB frames (B, F, 3, H, W) in 0..255, oldest
first, to the agent's own observation. :func:`native_agent` puts it in front of the policy, and
every explainer then explains the rendered frames.
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
from sb3_explain.agents.policy_views import PolicyView, WrappedView
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import Observations

Preprocessing = Callable[[Tensor], Tensor]

#: weights of R, G and B in OpenCV's gray levels, which the Arcade Learning Environment uses too
GRAY = (9798 / 2**15, 19235 / 2**15, 3735 / 2**15)
#: number of RGB states in one forward pass
BATCH = 32


@dataclass(frozen=True)
class AtariPreprocessing:
    """Frames as SB3's ``AtariWrapper`` makes them: gray, then area averages, rounded to 8 bits.

    It maps RGB frames (B, F, 3, H, W) to (B, F, h, w), equal to OpenCV's result except for ties
    when the averages are rounded.

    >>> from sb3_explain import AtariPreprocessing
    >>> AtariPreprocessing()(torch.zeros(1, 4, 3, 210, 160)).shape
    torch.Size([1, 4, 84, 84])

    :param size: height and width (h, w) of the observation, in pixels
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
    """Frames as the Super Mario agent sees them: gray, then bilinear, each rounded to 8 bits.

    It maps RGB frames (B, F, 3, H, W) to (B, F, h, w). OpenCV's bilinear resize, in fixed-point
    arithmetic, differs by one gray level in some pixels.

    >>> from sb3_explain import MarioPreprocessing
    >>> MarioPreprocessing()(torch.zeros(1, 4, 3, 240, 256)).shape
    torch.Size([1, 4, 84, 84])

    :param size: height and width (h, w) of the observation, in pixels
    """

    size: tuple[int, int] = (84, 84)

    def __call__(self, frames: Tensor) -> Tensor:
        resized = F.interpolate(gray(frames), size=self.size, mode="bilinear")
        return pass_gradient(resized, resized.round())


def gray(frames: Tensor) -> Tensor:
    """(B, F, H, W) gray levels, whole numbers 0..255, of RGB frames (B, F, 3, H, W).

    :raises ExplainError: if the frames have another shape
    """
    if frames.dim() != 5 or frames.shape[2] != 3:
        raise ExplainError(
            f"RGB frames of shape {tuple(frames.shape)}: give (batch, frames, 3, height, width)"
        )
    red, green, blue = frames.float().unbind(dim=2)
    levels = GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue
    return pass_gradient(levels, (levels + 0.5).floor())


def pass_gradient(values: Tensor, rounded: Tensor) -> Tensor:
    """The numbers of ``rounded`` with the gradient of ``values``; rounding has gradient 0."""
    return values + (rounded - values).detach()


@lru_cache
def area_weights(n_in: int, n_out: int) -> Tensor:
    """(n_out, n_in) weight of each input pixel in each output pixel of an area average.

    An output pixel is the mean of ``n_in / n_out`` input pixels, each weighted by its overlap.

    :param n_in: number of pixels along an axis of the frame
    :param n_out: number of pixels along that axis of the result
    :raises ExplainError: if ``n_out`` is larger than ``n_in``
    """
    if n_out > n_in:
        raise ExplainError(f"area averages cannot enlarge {n_in} pixels to {n_out}")
    edges = torch.arange(n_out + 1, dtype=torch.float64) * n_in / n_out
    pixels = torch.arange(n_in, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (overlap.clamp_min(0) * n_out / n_in).float()


def as_frames(observations: Observations) -> Tensor:
    """(B, F, 3, H, W) RGB frames from native observations (B, F * 3, H, W)."""
    assert isinstance(observations, Tensor)
    return observations.reshape(len(observations), -1, 3, *observations.shape[2:])


class NativeView(WrappedView):
    """View of a policy that observes rendered frames through a preprocessing.

    :param view: view of the policy on its own observations
    :param preprocessing: maps RGB frames (B, F, 3, H, W) to the policy's own observations
    """

    def __init__(self, view: PolicyView, preprocessing: Preprocessing) -> None:
        super().__init__(view)
        self.preprocessing = preprocessing

    def observe(self, observations: Observations) -> Tensor:
        return self.preprocessing(as_frames(observations))


@check_arguments
def native_agent(agent: Agent, preprocessing: Preprocessing, size: tuple[int, int]) -> Agent:
    """The same agent observing rendered frames, so that explainers explain these.

    It observes F stacked RGB frames (F * 3, H, W) in 0..255, as
    :func:`sb3_explain.native_states` gives them, and shares the weights of the given agent.

    >>> from sb3_explain import native_agent
    >>> def halve(frames):  # (B, F, 3, H, W) -> (B, F, H / 2, W / 2)
    ...     return frames[:, :, 0, ::2, ::2]
    >>> height, width = image_agent.observation_space.shape[1:]
    >>> native = native_agent(image_agent, halve, (2 * height, 2 * width))
    >>> native.observation_space.shape == (3 * image_agent.n_stack, 2 * height, 2 * width)
    True

    :param agent: agent that observes one stack of images
    :param preprocessing: differentiable map from RGB frames (B, F, 3, H, W) to the agent's
        observations
    :param size: height and width (H, W) of a rendered frame, in pixels
    :raises ExplainError: if the preprocessing does not return the shape that the agent observes
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
        value_units=agent.value_units,
    )


@check_arguments
def color_agent(agent: Agent) -> Agent:
    """The same Atari agent observing color frames of its own resolution, turned gray for it.

    It observes F stacked RGB frames (F * 3, h, w), and its recipe makes an environment that gives
    such frames: it plays and is explained like any other agent. A generator that is fitted to its
    states draws in color.

    >>> from sb3_explain import color_agent, demo_agent
    >>> color_agent(demo_agent()).observation_space.shape
    (12, 84, 84)

    :param agent: agent whose environment has SB3's ``AtariWrapper``
    :raises ExplainError: if its environment has no ``AtariWrapper``
    """
    recipe = agent.recipe
    if recipe is None or not any("AtariWrapper" in name for name, _ in recipe.wrappers):
        raise ExplainError(
            "only agents behind SB3's AtariWrapper can be shown colors: leave color out"
        )
    height, width = agent.observation_space.shape[1:]  # type: ignore[index]
    colored = native_agent(agent, gray, (height, width))
    wrappers = (*recipe.wrappers, ("sb3_explain.envs.wrappers.ColorFrames", {}))
    colored.recipe = dataclasses.replace(recipe, wrappers=wrappers)
    return colored
