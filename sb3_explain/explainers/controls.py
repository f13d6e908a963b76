"""Maps that explain nothing: the rows that every honest table compares a method with."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.explainers.base import Explainer
from sb3_explain.registry import EXPLAINERS


@EXPLAINERS.register("empty")
class Empty(Explainer):
    """Nothing is shown: how often the reference alone leads to the agent's action."""

    name = "empty"
    gives_masks = True
    orders_cells = False

    def attribute(self, observations: Tensor, target: Tensor | int | None = None) -> Tensor:
        return torch.zeros(observations.shape, device=observations.device)


@EXPLAINERS.register("constant")
class Constant(Explainer):
    """Everything is shown faintly.

    :param agent: the agent
    :param area: value of the mask in [0, 1], at every cell
    """

    name = "constant"
    gives_masks = True
    orders_cells = False

    def __init__(self, agent: Agent, area: float = 0.1) -> None:
        super().__init__(agent)
        self.area = area

    def attribute(self, observations: Tensor, target: Tensor | int | None = None) -> Tensor:
        return torch.full(observations.shape, self.area, device=observations.device)


@EXPLAINERS.register("random")
class Random(Explainer):
    """Uniform noise that is a function of the state and the seed, as a map is of its state.

    :param agent: the agent
    :param seed: of the noise
    """

    name = "random"

    def __init__(self, agent: Agent, seed: int = 0) -> None:
        super().__init__(agent)
        self.seed = seed

    def attribute(self, observations: Tensor, target: Tensor | int | None = None) -> Tensor:
        noise = [self._noise(observation) for observation in observations.cpu()]
        return torch.stack(noise).to(observations.device)

    def _noise(self, observation: Tensor) -> Tensor:
        state = zlib.crc32(observation.float().contiguous().numpy().tobytes())
        generator = torch.Generator().manual_seed(state ^ self.seed)
        return torch.rand(observation.shape, generator=generator)
