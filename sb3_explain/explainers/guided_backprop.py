"""Guided backpropagation: what speaks for an action, along excited units only."""

from __future__ import annotations

from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.batch import StateBatch
from sb3_explain.explainers.base import Explainer, needs_numbers
from sb3_explain.gradients import guided_gradients, needs_relu
from sb3_explain.registry import EXPLAINERS


@EXPLAINERS.register("guided_backprop")
class GuidedBackpropagation(Explainer):
    """The gradient, with what is negative cut off at every ReLU on its way back; signed.

    Springenberg et al. (2015), by Captum. One agent pass and one backward pass. ReLUs are those
    that are modules of the policy (``nn.ReLU``), as in all of SB3's; a call of a function is not
    seen. Known to stay much the same whichever action is explained (Adebayo et al., 2018).
    """

    name = "guided_backprop"

    @staticmethod
    def obstacle(agent: Agent) -> str | None:
        return needs_numbers(agent) or needs_relu(agent)

    @property
    def passes_per_state(self) -> int:
        return 1

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return guided_gradients(batch)
