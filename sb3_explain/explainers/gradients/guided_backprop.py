"""Guided backpropagation: what speaks for an action, along excited units only."""

from __future__ import annotations

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import guided_gradients
from sb3_explain.explainers.requirements import needs_numbers, needs_relu
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("guided_backprop")
class GuidedBackpropagation(Explainer):
    """The gradient, with what is negative cut off at every ReLU on its way back; signed.

    Springenberg et al. (2015), by Captum. One forward pass and one backward pass. ReLUs are those
    that are modules of the policy (``nn.ReLU``), as in all of SB3's; a call of a function is not
    seen. Known to stay much the same whichever action is explained (Adebayo et al., 2018).
    """

    name = "guided_backprop"

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        return needs_numbers(agent) or needs_relu(agent)

    @property
    def forwards_per_state(self) -> int:
        return 1

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return guided_gradients(batch)
