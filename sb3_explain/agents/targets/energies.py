"""Targets of a search: what makes a state interesting, as an energy that is small in such states.

Rupprecht et al. (2019), section 3.3. A target is a function ``(outputs, **options) -> (B,)``, to be
minimised, of an agent's outputs for B states. Any such function will do; those with a name are
entered in ``TARGETS`` by a decorator. Its options are ``beta`` and ``action``.

q stands for the Q-values of an agent that has them. Logits are only determined up to a constant in
each state. So for any other agent, targets about how good a state is (T-, T+, S+, S-) use V(s), and
targets that compare actions use log-probabilities.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.action_spaces import group_numbers, group_sizes
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.outputs import Outputs, read_outputs
from sb3_explain.agents.targets.running import name_function, run_target, running_target
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.registry import Registry
from sb3_explain.envs.spaces import spaces_by_key

#: targets by name
TARGETS: Registry[Callable[..., Tensor]] = Registry("target", __name__)

#: default sharpness of the soft maximum
BETA = 5.0


EnergyFunction = Callable[[Outputs], Tensor]


def soft_max(q: Tensor, beta: float) -> Tensor:
    """Return sum_i q_i exp(beta q_i) / sum_k exp(beta q_k), (B,), of q (B, K): equation 6, T-."""
    return (q * (beta * q).softmax(dim=1)).sum(dim=1)


def soft_min(q: Tensor, beta: float) -> Tensor:
    """Return -soft_max(-q, beta), (B,), of q (B, K): the paper's T+."""
    return -soft_max(-q, beta)


@TARGETS.register("action")
def action(outputs: Outputs, action: int) -> Tensor:
    """The agent prefers one action: it is likelier than any other, or its Q-value is high.

    Of Box actions, one dimension is high. The log-probability is compared with that of every other
    (sub-)action, since many agents have several actions that do the same: one of them may be likely
    and yet never be the greedy one.
    """
    space = outputs.agent.action_space
    if outputs.agent.view.value_based or isinstance(space, spaces.Box):
        return -outputs.scores[:, action]
    log_p, groups = outputs.log_probabilities, group_numbers(space)
    rivals = groups == groups[action]
    rivals[action] = False
    if not rivals.any():  # an agent with one action
        return -log_p[:, action]
    return log_p[:, rivals.to(log_p.device)].amax(dim=1) - log_p[:, action]


@TARGETS.register("T-")
def no_way_out(outputs: Outputs, beta: float) -> Tensor:
    """No good way out: even the best action is bad (V is low, where there are no Q-values)."""
    return soft_max(outputs.q, beta)


@TARGETS.register("T+")
def all_is_well(outputs: Outputs, beta: float) -> Tensor:
    """Every action is good: even the worst is (V is high, where there are no Q-values)."""
    return -soft_min(outputs.q, beta)


@TARGETS.register("T+-")
def critical(outputs: Outputs, beta: float) -> Tensor:
    """It matters what is done: one action is very good, another very bad (equation 7)."""
    q = outputs.contrast
    return soft_min(q, beta) - soft_max(q, beta)


@TARGETS.register("S+")
def good_at_random(outputs: Outputs) -> Tensor:
    """High value under a random action (V is high, where there are no Q-values)."""
    return -outputs.q.sum(dim=1)


@TARGETS.register("S-")
def bad_at_random(outputs: Outputs) -> Tensor:
    """Low value under a random action (V is low, where there are no Q-values)."""
    return outputs.q.sum(dim=1)


@TARGETS.register("value_high")
def value_high(outputs: Outputs) -> Tensor:
    """The agent expects a high return."""
    return -outputs.value


@TARGETS.register("value_low")
def value_low(outputs: Outputs) -> Tensor:
    """The agent expects a low return."""
    return outputs.value


@TARGETS.register("uncertainty")
def uncertainty(outputs: Outputs) -> Tensor:
    """The policy cannot decide: the entropy of its actions (nats, mean of sub-actions) is high."""
    log_p = outputs.log_probabilities
    n_groups = len(group_sizes(outputs.agent.action_space))
    return (log_p.exp() * log_p).sum(dim=1) / n_groups


@TARGETS.register("disagreement")
def disagreement(outputs: Outputs) -> Tensor:
    """Two agents act differently in the same state.

    The Jensen-Shannon divergence of their actions is high (mean of sub-actions, at most log 2); of
    Box actions, the mean squared difference.
    """
    space, other = outputs.agent.action_space, outputs.other
    if other is None:
        raise ExplainError("the target 'disagreement' compares two agents: give the other one")
    if isinstance(space, spaces.Box):
        return -(outputs.scores - other.scores).square().mean(dim=1)
    log_p, log_q = outputs.log_probabilities, other.log_probabilities
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    divergence = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return -divergence.sum(dim=1) / 2 / len(group_sizes(space))


def spell_kind(target: str) -> str:
    """Spell what stands before a target's colon as the package does: any case means the same.

    >>> spell_kind("Q:Left"), spell_kind("Critic1"), spell_kind("t+-"), spell_kind("Left")
    ('q:Left', 'critic1', 'T+-', 'Left')

    :param target: name of a target; those of the agent's actions stay as they are
    """
    kind, colon, action = target.strip().partition(":")
    known = {name.lower(): name for name in (*TARGETS, "q", "advantage", "value", "entropy")}
    number = kind.lower().removeprefix("critic")
    if number != kind.lower() and number.isdecimal():
        return f"critic{number}"
    return known.get(kind.lower(), kind) + colon + action


def make_target(
    target: str | Callable[..., Tensor],
    agent: Agent,
    *,
    action: int | str | None = None,
    beta: float = BETA,
) -> EnergyFunction:
    """Make a function of :class:`Outputs` alone, with the target's options filled in.

    :param target: a name, ``"action:NAME"`` for the action of that name or number, or a function
    :param agent: the agent whose outputs it is given
    :param action: index or name of the action, for the target ``"action"``
    :param beta: sharpness of the soft maximum, per unit of Q
    :raises ExplainError: for an unknown target or action, or the target ``"action"`` without one
    """
    if isinstance(target, str):
        name, _, named = spell_kind(target).partition(":")
        action = named if named and action is None else action
        function: Callable[..., Tensor] = TARGETS[name]
    else:
        name, function = name_function(target), target
    with running_target(name):  # of one without a signature
        accepted = list(inspect.signature(function).parameters)[1:]
    options: dict[str, Any] = {"beta": beta} if "beta" in accepted else {}
    if "action" in accepted:
        if action is None:
            raise ExplainError(
                f"the target {name!r} is about one action: write '{name}:NAME' with one of "
                f"{', '.join(agent.target_names)}"
            )
        options["action"] = agent.find_target(action)
    return partial(run_target, name=name, function=function, **options)


def list_targets(agent: Agent) -> list[str]:
    """Return the names of all different targets of an agent.

    They are each action, and the other targets that the agent supports. Without Q-values, S+ and S-
    are left out, since they are the same as T+ and T-.
    """
    names = [f"action:{name}" for name in agent.target_names]
    good_or_bad = ["T-", "T+", "S-", "S+"] if agent.view.value_based else ["T-", "T+"]
    return [name for name in (*names, *good_or_bad, "T+-", "uncertainty") if _supports(agent, name)]


def _supports(agent: Agent, name: str) -> bool:
    try:
        try_energy(agent, make_target(name, agent))
    except ExplainError:
        return False
    return True


def require_comparable(agent: Agent, other: Agent) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` unless two agents take the same states."""
    if (
        other.observation_space != agent.observation_space
        or other.action_space != agent.action_space
    ):
        raise ExplainError(
            f"the other agent observes {other.observation_space} and does {other.action_space}: "
            "give one with the same observations and actions"
        )
    if other.device != agent.device:
        raise ExplainError(
            f"the other agent is on {other.device}, this one on {agent.device}: load both on one"
        )


def try_energy(agent: Agent, energy: EnergyFunction, other: Agent | None = None) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` unless the agent has what an energy reads.

    :param agent: agent whose outputs are read, for an observation of zeros
    :param energy: function of the outputs
    :param other: second agent, for targets that compare two
    """
    zeros: Any = {
        name: torch.zeros(1, *(space.shape or ()), device=agent.device)
        for name, space in spaces_by_key(agent.observation_space).items()
    }
    with torch.no_grad():
        energy(read_outputs(agent, zeros.get("", zeros), other))
