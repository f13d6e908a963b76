"""SGQN: the saliency that the agent predicts of itself (Bertoin et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.sgqn.policies import UNTAUGHT, SGQNPolicy
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("sgqn")
class SGQNSaliency(Explainer):
    """How likely a pixel is among those that matter most to Q1(s, pi(s)), as the agent says.

    The agent has learned to say so while it learned to act, and says it in the pass in which it
    acts. The map is of the whole action, the same for each of its dimensions.
    """

    name = "sgqn"

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        """Only SGQN agents predict their saliency, if they have learned to."""
        policy = agent.view.policy
        if not isinstance(policy, SGQNPolicy):
            return "it is what an SGQN agent says of itself, and this is none"
        return None if policy.predicts_saliency else UNTAUGHT

    @property
    def forwards_per_state(self) -> int:
        return 1

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        ((name, images),) = batch.by_key.items()
        with torch.no_grad():
            _, saliency = self.agent.view.policy.predict_saliency(images)
        self.agent.forwards += len(images)
        return {name: saliency}
