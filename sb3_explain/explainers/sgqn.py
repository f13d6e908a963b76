"""SGQN: the saliency that an SGQN agent predicts of itself (Bertoin et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.sgqn.policies import UNTAUGHT, SGQNPolicy
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("sgqn")
class SGQNSaliency(Explainer):
    """The probability that a pixel is among the most salient for Q1(s, pi(s)), as the agent says.

    An SGQN agent learns to predict it while it learns to act, and predicts it in the forward pass
    in which it acts. It explains the whole action and is the same for each of its dimensions.

    >>> from sb3_explain import SGQNSaliency
    >>> SGQNSaliency.unsupported(agent)
    'it is what an SGQN agent says of itself, and this is none'

    :param agent: agent whose policy is that of SGQN
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    """

    name = "sgqn"
    actions_only = "it is what the agent says of its action"

    @staticmethod
    @check_arguments
    def unsupported(agent: Agent) -> str | None:
        """Only SGQN agents that have learned to predict their saliency are supported."""
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
