"""Controls: attributions that explain nothing, which every method is compared with."""

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
    """Masks of 0, which show nothing: how often does the baseline alone lead to the agent's action?

    >>> from sb3_explain import Empty
    >>> Empty(agent).attribute(states.observations([0]))
    tensor([[0., 0., 0., 0.]])

    :param agent: agent to explain
    """

    name = "empty"
    gives_masks = True
    ranks_features = False

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return {name: torch.zeros_like(observed) for name, observed in batch.by_key.items()}


@EXPLAINERS.register("constant")
class Constant(Explainer):
    """Masks of one value, which show everything faintly.

    >>> from sb3_explain import Constant
    >>> Constant(agent, 0.5).attribute(states.observations([0]))
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])

    :param agent: agent to explain
    :param area: value of the mask everywhere, in [0, 1]
    """

    name = "constant"
    gives_masks = True
    ranks_features = False

    def __init__(self, agent: Agent, area: float = 0.1) -> None:
        super().__init__(agent)
        self.area = area

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return {
            name: torch.full_like(observed, self.area) for name, observed in batch.by_key.items()
        }


@EXPLAINERS.register("random")
class Random(Explainer):
    """Uniform noise in [0, 1]; the same state and seed give the same noise.

    >>> from sb3_explain import Random
    >>> noise = Random(agent, seed=1).attribute(states.observations([0, 0]))
    >>> bool((noise[0] == noise[1]).all())
    True

    :param agent: agent to explain
    :param seed: random seed of the noise
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
