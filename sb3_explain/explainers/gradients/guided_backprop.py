"""Guided backpropagation: gradients through active units with positive gradients only."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import compute_guided_gradients, find_whole_keys
from sb3_explain.explainers.requirements import needs_numbers, needs_relu
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("guided_backprop")
class GuidedBackpropagation(Explainer):
    """The signed gradient, with negative values set to 0 at every ReLU on the way back.

    Springenberg et al. (2015). It costs one forward pass and one backward pass. ReLUs count whether
    they are modules of the policy (``nn.ReLU``) or functions that it calls (``torch.relu``,
    ``x.clamp(min=0)``); other activations pass the plain gradient. The attributions are known to
    change little with the explained action (Adebayo et al., 2018).

    >>> from sb3_explain import Agent, GuidedBackpropagation
    >>> layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> mlp = Agent.from_module(layers, agent.observation_space, agent.action_space)
    >>> GuidedBackpropagation(mlp).attribute(states.observations([0, 1])).shape
    torch.Size([2, 4])

    :param agent: agent whose scores pass a ReLU
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    """

    name = "guided_backprop"

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        return needs_numbers(agent) or needs_relu(agent)

    @property
    def left_out(self) -> Collection[str]:
        return find_whole_keys(self.agent.categories.looked_up)

    @property
    def forwards_per_state(self) -> int:
        return 1

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return compute_guided_gradients(batch)
