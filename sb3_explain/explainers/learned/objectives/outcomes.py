"""What a policy does where parts of a state are hidden, against what it shall do there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sb3_explain.agents.action_spaces import greedy_targets, group_numbers, log_probabilities
from sb3_explain.explainers.learned.outcomes import Outcomes
from sb3_explain.states.batch import StateBatch

#: bounds of a probability whose logarithm is taken
NEVER_SURE = (1e-6, 1 - 1e-6)
#: least divergence, in nats, in units of which others are measured
FLOOR = 0.1
#: number of halvings by which a share is found
HALVINGS = 24


class BoxOutcomes(Outcomes):
    """How far the policy of a Box action's dimension moves: by its divergence."""

    def read(self, rows: dict[str, Tensor], states: Tensor) -> Tensor:
        # actions differ by less than bfloat16 tells apart
        with torch.autocast(self.batch.device.type, enabled=False):
            return self.batch.similarity(rows, states)

    def keep(self, read: Tensor) -> Tensor:
        """Compute the logarithm of 1 and the divergence: (B,)."""
        # one outlier would dominate the gradient of the divergence itself
        return torch.log1p(-self.of_target(read).clamp_max(0))


class PolicyOutcomes(Outcomes):
    """What the policy does on B states, and on copies of them of which parts are hidden.

    :param batch: B states with their targets
    :param temperature: number that scores are divided by
    :param sharpness: how much surer of a greedy target than the policy what shall be preserved is:
        by a divergence that is this share, in [0, 1], of that of the hidden states
    :param blind: (B, C) scores of the targets on the states of which all is hidden
    """

    def __init__(
        self, batch: StateBatch, temperature: float, sharpness: float, blind: Tensor
    ) -> None:
        super().__init__(batch)
        self.temperature = temperature
        self.space = batch.agent.action_space
        target = batch.target[:, None]
        numbers = group_numbers(self.space).to(batch.device)
        own = self._log_probabilities(batch.own_target_scores)
        same_group = numbers == numbers[target]
        unseen = own - self._log_probabilities(blind)
        lost = torch.where(same_group, own.exp() * unseen, 0.0).sum(dim=1)
        #: (B,) in nats: the divergence of the policy that sees nothing, which others are a share of
        self.unit = lost.clamp_min(FLOOR)
        share = share_of_target(self.of_target(own).exp(), sharpness * lost)[:, None]
        chosen = functional.one_hot(batch.target, own.shape[1])
        goal = (1 - share) * own.exp() + share * chosen
        #: (B, C) what a greedy target's mask shall preserve, within the target's sub-action
        self.goal = goal.masked_fill(~same_group, 0.0)
        self.greedy = greedy_targets(self.space, batch.own_target_scores).gather(1, target)[:, 0]
        self.own = self.of_target(own).exp().clamp(*NEVER_SURE)

    def read(self, rows: dict[str, Tensor], states: Tensor) -> Tensor:
        """Read log-probabilities (R, C) of the targets on copies of the states."""
        return self._log_probabilities(self.batch.target_scores(rows, states))

    def keep(self, read: Tensor) -> Tensor:
        """Compute how far the policy on copies is from what shall be preserved.

        For a greedy target this is the divergence of the whole policy; another target shall keep
        its own probability, and not be forced.

        :param read: (B, C) what :meth:`read` returned
        :return: (B,) at least 0; 1 is the divergence of the policy that sees nothing
        """
        terms = torch.xlogy(self.goal, self.goal) - self.goal * read
        whole = torch.where(self.goal > 0, terms, 0.0).sum(dim=1)
        left = self.of_target(read).exp().clamp(*NEVER_SURE)
        alone = self.own * (self.own / left).log()
        alone = alone + (1 - self.own) * ((1 - self.own) / (1 - left)).log()
        return torch.where(self.greedy, whole, alone) / self.unit

    def _log_probabilities(self, scores: Tensor) -> Tensor:
        return log_probabilities(self.space, scores.float() / self.temperature)


def share_of_target(probability: Tensor, allowed: Tensor) -> Tensor:
    """Find how much of a policy may be given to a target.

    The policy p becomes q = (1 - share) p + share of the target; KL(p || q) grows with the share.

    :param probability: (B,) of the target by the policy
    :param allowed: (B,) largest divergence, in nats
    :return: (B,) the largest shares whose divergence is allowed, in [0, 1)
    """
    p = probability.clamp(*NEVER_SURE)
    rest, negative = 1 - p, -p
    allowed_share = torch.zeros_like(p)
    for halving in range(1, HALVINGS + 1):
        share = allowed_share + 0.5**halving
        divergence = negative * torch.log1p(share * rest / p) - rest * torch.log1p(-share)
        allowed_share = torch.where(divergence <= allowed, share, allowed_share)
    return allowed_share
