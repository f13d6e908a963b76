"""Scalar targets: quantities of an agent's outputs that are no score of one action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from sb3_explain.agents.targets.outputs import Outputs
from sb3_explain.agents.targets.running import run_target
from sb3_explain.common.errors import ExplainError


@dataclass(frozen=True, eq=False)
class ScalarTarget:
    """A quantity (B,) of an agent's outputs for B states, under the name that a user gave.

    :param name: name for messages and figures
    :param read: function of :class:`~sb3_explain.agents.targets.outputs.Outputs` that returns (B,)
    """

    name: str
    read: Callable[[Outputs], Tensor]

    def __call__(self, outputs: Outputs, n_states: int) -> Tensor:
        """Read the quantity of B states.

        :raises ExplainError: if the function raises, or does not return one floating-point number
            for each
        """
        found = run_target(outputs, name=self.name, function=self.read)
        if found.shape != (n_states,) or not found.is_floating_point():
            raise ExplainError(
                f"the target {self.name} returned {found.dtype} of shape {tuple(found.shape)} for "
                f"{n_states} states: return one floating-point number for each"
            )
        return found

    def is_same(self, other: ScalarTarget) -> bool:
        """Tell whether another target, of the same agent, reads the same quantity.

        Two that were found by one name do, and a user's function is the same as itself alone.
        """
        ours, theirs = (getattr(each.read, "func", each.read) for each in (self, other))
        return self.name == other.name and ours is theirs


def value(outputs: Outputs) -> Tensor:
    """V(s); max_a Q(s, a) of Q-values, and the least critic's Q(s, pi(s)) of an actor with critics.

    :return: (B,) values
    """
    return outputs.value


def entropy(outputs: Outputs) -> Tensor:
    """Entropy of the policy in nats, see :attr:`.Outputs.entropy`."""
    return outputs.entropy


def target_score(outputs: Outputs, index: int) -> Tensor:
    """Score (B,) of one action, as an index explains it."""
    return outputs.target_scores[:, index]


def advantage(outputs: Outputs, index: int) -> Tensor:
    """Q(s, a) - mean over b of Q(s, b): Wang et al. (2016), equation 9.

    The mean takes the place of V(s) = max_b Q(s, b), since the advantage over that is 0 for the
    greedy action wherever it is greedy.

    :param index: index of the action a
    """
    return outputs.scores[:, index] - outputs.scores.mean(dim=1)


def critic(outputs: Outputs, number: int) -> Tensor:
    """Q_i(s, pi(s)) of one critic (B,), whose number i is counted from 1."""
    return outputs.critics[:, number - 1]


def difference(outputs: Outputs, first: ScalarTarget, second: ScalarTarget) -> Tensor:
    """One target less another, (B,)."""
    return first.read(outputs) - second.read(outputs)
