"""What a view of a policy is, and what becomes of the scores of forbidden actions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations

#: score of a forbidden action, as in MaskablePPO
FORBIDDEN = -1e8


class PolicyView(ABC):
    """Scores and values of one policy.

    :param policy: the module that holds the weights
    """

    # Any, because the policies of SB3 share no base class that has their networks
    policy: Any
    #: whether ``scores`` are Q-values, whose softmax is a convention and not the agent's own
    value_based = False
    #: whether the policy was trained with the environment's action masks
    maskable = False
    #: number of critics Q(s, a), of an agent whose actor gives the action
    n_critics = 0
    #: whether action 0 of a Discrete space is its ``start``: not so for agents of SB3, which give
    #: the environment the index of the best score
    adds_start = False

    def __init__(self, policy: nn.Module) -> None:
        self.policy = policy

    @abstractmethod
    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        """(B, K) scores, as :meth:`sb3_explain.Agent.scores` defines them."""

    @abstractmethod
    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        """(B,) values, as :meth:`sb3_explain.Agent.values` defines them."""

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(B, K) scores and (B,) values; views whose two heads share layers run these once."""
        return self.scores(observations, lstm_states), self.values(observations, lstm_states)

    def critics(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        """(B, n_critics) Q(s, pi(s)) of each critic."""
        raise ExplainError("this agent has no critics Q(s, a): ask for its values or scores")

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        """(B, A) standard deviation of a Box action before squashing or clipping; 0 if none."""
        return torch.zeros_like(self.scores(observations, lstm_states))

    def initial_lstm_states(self, batch_size: int) -> Tensor | None:
        """(B, ...) recurrent states at the start of an episode; ``None`` if not recurrent."""
        return None

    def next_lstm_states(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> Tensor | None:
        """(B, ...) recurrent states after these observations; ``None`` if not recurrent."""
        return None


def forbid(scores: Tensor, action_masks: Tensor) -> Tensor:
    """Scores (B, K) with -1e8 for every action that the masks forbid, as MaskablePPO does.

    :param scores: (B, K) scores of the actions
    :param action_masks: (B, K) of 0 (forbidden) and 1 (allowed), or (B, 2K) for MultiBinary
        actions: whether each bit may be off, and whether it may be on
    :raises ExplainError: if the masks are of another shape
    """
    action_masks = torch.as_tensor(action_masks)
    size, n_scores = action_masks.numel(), scores.numel()
    if len(action_masks) != len(scores) or size not in (n_scores, 2 * n_scores):
        raise ExplainError(
            f"action_masks are {tuple(action_masks.shape)}, and here they are "
            f"{tuple(scores.shape)}: give 0 or 1 for each action of each state, as "
            "env.action_masks() returns them"
        )
    never = scores.new_tensor(FORBIDDEN)
    allowed = action_masks.to(scores.device).reshape(len(scores), -1) > 0
    if allowed.shape == scores.shape:
        return torch.where(allowed, scores, never)
    off, on = allowed.reshape(len(scores), -1, 2).unbind(dim=2)
    return torch.where(on, torch.where(off, scores, -never), never)
