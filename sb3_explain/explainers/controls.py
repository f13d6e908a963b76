"""Maps that explain nothing: the rows that every honest table compares a method with."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("empty")
class Empty(Explainer):
    """Nothing is shown: how often the baseline alone leads to the agent's action."""

    name = "empty"
    gives_masks = True
    orders_cells = False

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return {name: torch.zeros_like(observed) for name, observed in batch.by_key.items()}


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

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return {
            name: torch.full_like(observed, self.area) for name, observed in batch.by_key.items()
        }


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

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return {name: self._noise(observed) for name, observed in batch.by_key.items()}

    def _noise(self, observed: Tensor) -> Tensor:
        rows = []
        for state in observed.cpu():
            generator = torch.Generator()
            generator.manual_seed(zlib.crc32(state.contiguous().numpy().tobytes()) ^ self.seed)
            rows.append(torch.rand(state.shape, generator=generator))
        return torch.stack(rows).to(observed.device)
