"""SSINet: one learned mask of what the agent needs, decoded from its features (Shi, 2020)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.action_spaces import log_probabilities, score_range, target_scores
from sb3_explain.agents.activations import watch_modules
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import make_blank
from sb3_explain.envs.spaces import is_image_shape, join_keys
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.explainers.learned.networks.ssinet_decoder import SSINetDecoder
from sb3_explain.explainers.learned.settings import TargetSettings
from sb3_explain.explainers.requirements import needs_image
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.dataset import StateDataset


@dataclasses.dataclass(frozen=True)
class SSINetSettings(TargetSettings):
    """Settings of an SSINet.

    :param alpha: weight of the mask's mean
    """

    alpha: float = 0.005


@EXPLAINERS.register("ssinet")
class SSINet(MaskExplainer):
    """One mask of an observation for all targets: what the agent needs to act as it does.

    Shi et al., Self-Supervised Discovering of Interpretable Features for Reinforcement Learning
    (2020). A decoder turns the outputs of the agent's convolutions into a mask. The loss is the
    squared difference of the action's probabilities (for Box actions, of their means in units of
    the range) with and without the mask, plus ``alpha`` times the mean of the mask. In a Dict
    observation only images are masked.

    With ``target="value"``, or another quantity f, it is the squared change of f::

        ((f(s m + r (1 - m)) - f(s)) / D)^2,  D = max(abs(f(s) - f(r)), spread of f in training)

    The decoder still reads the convolutions that the actions pass.

    The authors add 1 to observations before they multiply them with the mask, so that hidden pixels
    differ from black objects. For an agent that was trained without this 1 it is subtracted again,
    which makes it a baseline: (s + 1) m - 1 = s m + (-1) (1 - m). For an agent that divides by 255,
    a 1 in the raw range is hardly visible, and the baseline is nearly ``"black"``; a 1 where s is
    in [0, 1] is the baseline ``"below"``, as far below black as white is above it, which the agent
    has never seen. The default baseline, the background, has the same purpose, and the agent knows
    it.

    For each state, training costs two passes of the agent and one of the decoder; explaining costs
    one of each.

    >>> from sb3_explain import Agent, SSINet
    >>> layers = torch.nn.Sequential(
    ...     torch.nn.Conv2d(2, 4, 8, stride=4), torch.nn.Flatten(), torch.nn.Linear(100, 3)
    ... )
    >>> image, actions = image_agent.observation_space, image_agent.action_space
    >>> explainer = SSINet(Agent.from_module(layers, image, actions, n_stack=2))
    >>> parts = image_states.split((0.7, 0.3))
    >>> training = explainer.fit(*parts, epochs=1, progress=False)
    >>> explainer.attribute(image_states.observations([0])).shape
    torch.Size([1, 2, 24, 24])

    :param agent: agent to explain, which has convolutions
    :param seed: random seed of the decoder's initial weights
    :param settings: fields of :class:`SSINetSettings`
    :raises ExplainError: for unknown or invalid settings, or an agent that is not supported
    """

    name = "ssinet"
    Settings = SSINetSettings
    settings: SSINetSettings
    #: The authors' batch. Their SGD is the training loop's AdamW here, whose steps do not shrink
    #: with the loss; that is at most alpha where the mask preserves everything, and progress is
    #: counted in units of it.
    training_defaults: ClassVar[Mapping[str, Any]] = {"batch_size": 32, "min_delta": 1e-5}

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        if needs_image(agent) is not None:
            return needs_image(agent)
        if not find_feature_shapes(agent):
            return "it reads masks off the agent's convolutions, and this agent has none"
        return None

    @property
    def forwards_per_state(self) -> int:
        return 1

    @property
    def n_masks(self) -> int:
        return 1

    @property
    def covered(self) -> list[str]:
        return [name for name, shape in self.shapes.items() if is_image_shape(shape)]

    def build_network(self) -> nn.Module:
        images = {name: self.shapes[name] for name in self.covered}
        return SSINetDecoder(find_feature_shapes(self.agent), images, self.mask_frames)

    def logits(self, network: nn.Module, batch: StateBatch) -> Masks:
        logits: Masks = network(self._reading(batch)[1])
        return logits

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        batch = self.batch(states, positions).with_cache(ForwardCache())
        masks = self.masks(network, batch)
        change = self._measure_change(batch, self.blend(masks, batch)[0])
        areas = [field.mean() for field in self.masking.crop(masks).values()]
        area = torch.stack(areas).mean()
        return {"loss": change + self.settings.alpha * area, "change": change, "area": area}

    def _measure_change(self, batch: StateBatch, seen: Masks) -> Tensor:
        """Compute the mean squared change () of what shall be preserved, on (B, 1, ...) copies."""
        if self.own_target is not None:
            rows = {name: each[:, 0] for name, each in seen.items()}
            states = torch.arange(len(batch), device=batch.device)
            return self.read_scalar_outcomes(batch).read(rows, states).square().mean()
        (scores,) = self.read_outcomes(batch.target_scores, seen)
        own = self._reading(batch)[0].float() / self.settings.temperature
        return (self._behavior(scores[:, 0]) - self._behavior(own)).square().mean()

    def _behavior(self, scores: Tensor) -> Tensor:
        """What the mask shall preserve (B, C), from target scores divided by the temperature."""
        space = self.agent.action_space
        if isinstance(space, spaces.Box):
            return scores / score_range(space, squashed=self.agent.squashed)[1].to(scores)
        return log_probabilities(space, scores).exp()

    def _reading(self, batch: StateBatch) -> tuple[Tensor, list[Tensor]]:
        """Target scores (B, C) of the states and the convolutions' outputs, from one pass.

        The convolutions are those that the actions pass, whatever the mask explains.
        """

        def read() -> tuple[Tensor, list[Tensor]]:
            policy = self.agent.view.policy
            with torch.no_grad(), watch_modules(policy, is_convolution) as passed:
                scores = target_scores(self.agent.action_space, batch.scores(batch.by_key))
            return scores, [output for _, output in passed]

        reading: tuple[Tensor, list[Tensor]] = batch.read_once("convolutions", read)
        return reading


def is_convolution(module: nn.Module) -> bool:
    """Check whether a module's outputs are features for the decoder."""
    return isinstance(module, nn.Conv2d)


def find_feature_shapes(agent: Agent) -> list[tuple[int, ...]]:
    """Find the shapes (C, H, W) of the convolutions' outputs, in the order of the pass."""
    policy: nn.Module = agent.view.policy
    if not any(map(is_convolution, policy.modules())):
        return []
    with torch.no_grad(), watch_modules(policy, is_convolution) as passed:
        agent.view.scores(join_keys(make_blank(agent)), None)
    return [tuple(output.shape[1:]) for _, output in passed]
