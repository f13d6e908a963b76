"""Outputs: what an agent computes of some states, each when it is first asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.action_spaces import log_probabilities, target_scores
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations


class Outputs:
    """An agent's outputs for B states, differentiable with respect to the observations.

    A function of these is a target: ``explainer.attribute(observations, target=function)``.

    >>> from sb3_explain import InputXGradient
    >>> def certainty(outputs):
    ...     return outputs.log_probabilities.amax(dim=1)
    >>> InputXGradient(agent).attribute(states.observations([0, 1]), certainty).shape
    torch.Size([2, 4])

    :param agent: the agent
    :param observations: (B, ...) in the agent's range, or a dict of such
    :param policy_inputs: ``lstm_states`` of a recurrent agent and ``action_masks``
    :param other: outputs of a second agent for the same states, for targets that compare two
    """

    def __init__(
        self,
        agent: Agent,
        observations: Observations,
        policy_inputs: Mapping[str, Tensor] | None = None,
        other: Outputs | None = None,
    ) -> None:
        self.agent = agent
        self.observations = observations
        self.policy_inputs = dict(policy_inputs or {})
        self.other = other

    @property
    def _lstm_states(self) -> Tensor | None:
        return self.policy_inputs.get("lstm_states")

    @cached_property
    def scores(self) -> Tensor:
        """(B, K) scores, as :meth:`sb3_explain.Agent.scores` defines them."""
        return self.agent.scores(self.observations, **self.policy_inputs)

    @cached_property
    def values(self) -> Tensor:
        """(B,) values; :attr:`value` raises an error where an agent has none."""
        return self.agent.values(self.observations, self._lstm_states)

    @property
    def value(self) -> Tensor:
        """(B,) values.

        :raises ExplainError: for an agent that has none
        """
        if bool(self.values.isnan().all()):
            raise ExplainError(
                f"this agent ({self.agent.algo}) has no values: choose a target on its actions "
                "('action', 'T+-' or 'uncertainty')"
            )
        return self.values

    @cached_property
    def critics(self) -> Tensor:
        """(B, n) Q_i(s, pi(s)) of each critic, see :meth:`sb3_explain.Agent.critics`."""
        return self.agent.critics(self.observations, self._lstm_states)

    @property
    def target_scores(self) -> Tensor:
        """(B, C) scores of the targets."""
        return target_scores(self.agent.action_space, self.scores)

    @property
    def log_probabilities(self) -> Tensor:
        """(B, C) log-probabilities of the targets; of Q-values, those of their softmax.

        :raises ExplainError: for Box actions, which have none
        """
        if isinstance(self.agent.action_space, spaces.Box):
            raise ExplainError(
                "this target compares probabilities of actions, and this agent's actions are "
                "continuous (Box): choose a target on its value, or an action"
            )
        return log_probabilities(self.agent.action_space, self.target_scores)

    @property
    def entropy(self) -> Tensor:
        """(B,) entropy of the policy in nats, the sum of its sub-actions or dimensions.

        Of Q-values it is that of their softmax; of Box actions that of the normal distribution,
        before squashing.

        :raises ExplainError: for an agent that acts without noise
        """
        if not isinstance(self.agent.action_space, spaces.Box):
            log_p = self.log_probabilities
            return -(log_p.exp() * log_p).sum(dim=1)
        std = self.agent.view.std(self.observations, self._lstm_states)
        if not bool((std > 0).all()):
            raise ExplainError(
                f"this agent ({self.agent.algo}) acts without noise, so that its policy has no "
                "entropy: choose an action or its value"
            )
        return (0.5 * math.log(2 * math.pi * math.e) + std.log()).sum(dim=1)

    @property
    def q(self) -> Tensor:
        """(B, K) Q-values, or (B, 1) V(s) of an agent without them.

        :raises ExplainError: for an agent that has no values either
        """
        return self.scores if self.agent.view.value_based else self.value[:, None]

    @property
    def contrast(self) -> Tensor:
        """(B, K) Q-values, or (B, C) log-probabilities of an agent without them."""
        return self.scores if self.agent.view.value_based else self.log_probabilities


def read_outputs(agent: Agent, observations: Observations, other: Agent | None = None) -> Outputs:
    """Read scores and values of states, in one pass where they share layers.

    :param agent: the agent
    :param observations: (B, ...) in the agent's range, or a dict of such
    :param other: a second agent with the same observations and actions
    """
    others = None if other is None else read_outputs(other, observations)
    outputs = Outputs(agent, observations, other=others)
    outputs.scores, outputs.values = agent.scores_and_values(observations)
    return outputs
