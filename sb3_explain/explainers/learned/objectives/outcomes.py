"""What a policy does where parts of a state are hidden, against what it shall do there."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional

from sb3_explain.agents.action_spaces import greedy_targets, group_numbers, log_probabilities
from sb3_explain.states.batch import StateBatch

#: probability that keeps the logarithm of what is lost finite
EPSILON = 1e-2
#: bounds of a probability whose logarithm is taken
NEVER_SURE = (1e-6, 1 - 1e-6)


class Outcomes:
    """What the policy does on B states, and on copies of them of which parts are hidden.

    :param batch: B states with their targets
    :param temperature: number that scores are divided by
    :param sharpness: share of a greedy target in what shall be preserved, in [0, 1]; the rest is
        the policy
    """

    def __init__(self, batch: StateBatch, temperature: float, sharpness: float) -> None:
        self.batch = batch
        self.temperature = temperature
        self.space = batch.agent.action_space
        if isinstance(self.space, spaces.Box):
            return
        target = batch.target[:, None]
        numbers = group_numbers(self.space).to(batch.device)
        own = self._log_probabilities(batch.own_target_scores)
        chosen = functional.one_hot(batch.target, own.shape[1])
        goal = (1 - sharpness) * own.exp() + sharpness * chosen
        #: (B, C) what a greedy target's mask shall preserve, within the target's sub-action
        self.goal = goal.masked_fill(numbers != numbers[target], 0.0)
        self.greedy = greedy_targets(self.space, batch.own_target_scores).gather(1, target)[:, 0]
        self.own = self._of_target(own).exp().clamp(*NEVER_SURE)

    def read(self, rows: dict[str, Tensor], states: Tensor) -> Tensor:
        """Read what :meth:`keep` and :meth:`lose` take, (R, C), of copies of the states."""
        if isinstance(self.space, spaces.Box):
            with torch.autocast(self.batch.device.type, enabled=False):
                return self.batch.similarity(rows, states)
        return self._log_probabilities(self.batch.target_scores(rows, states))

    def keep(self, read: Tensor) -> Tensor:
        """Compute how far the policy on copies is from what shall be preserved.

        For a greedy target this is the divergence of the whole policy; another target shall keep
        its own probability, and not be forced.

        :param read: (B, C) what :meth:`read` returned
        :return: (B,) in nats, at least 0
        """
        if isinstance(self.space, spaces.Box):  # one outlier would dominate the gradient
            return torch.log1p(-self._of_target(read).clamp_max(0))
        terms = torch.xlogy(self.goal, self.goal) - self.goal * read
        whole = torch.where(self.goal > 0, terms, 0.0).sum(dim=1)
        left = self._of_target(read).exp().clamp(*NEVER_SURE)
        alone = self.own * (self.own / left).log()
        alone = alone + (1 - self.own) * ((1 - self.own) / (1 - left)).log()
        return torch.where(self.greedy, whole, alone)

    def lose(self, read: Tensor) -> Tensor:
        """Compute how much of the target is left on copies (B, C) that shall lose it: (B,)."""
        return -(1 - self._of_target(read).exp().clamp(0, 1) + EPSILON).log()

    def _log_probabilities(self, scores: Tensor) -> Tensor:
        return log_probabilities(self.space, scores.float() / self.temperature)

    def _of_target(self, read: Tensor) -> Tensor:
        return read.gather(1, self.batch.target[:, None])[:, 0]
