"""Which target a user means by an index, a name or a function."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets import scalars
from sb3_explain.agents.targets.energies import (
    BETA,
    TARGETS,
    EnergyFunction,
    make_target,
    spell_kind,
    try_energy,
)
from sb3_explain.agents.targets.outputs import Outputs
from sb3_explain.agents.targets.running import name_function
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError, find_close_name, join_names, unknown_name

#: what a target may be given as: see :mod:`sb3_explain.agents.targets`
TargetLike = (
    int
    | str
    | Tensor
    | NDArray[Any]
    | Sequence[int | str]
    | Callable[[Outputs], Tensor]
    | ScalarTarget
    | None
)

#: what stands between the two targets of a contrast
MINUS = " - "

#: what is written between them by those who do not know that it is a minus
VERSUS = re.compile(
    r"\s+(?:vs\.?|versus|or|(?:and\s+|but\s+)?not|[\u2212\u2013\u2014/])\s+", re.IGNORECASE
)

#: quantities that every agent has
QUANTITIES: dict[str, Callable[[Outputs], Tensor]] = {
    "value": scalars.value,
    "entropy": scalars.entropy,
}

logger = logging.getLogger(__name__)


def read_targets(agent: Agent, target: Any, n_states: int) -> Tensor | ScalarTarget:
    """Read which target of each of B states is explained.

    :param agent: agent that is explained
    :param target: one target for all states, or B indices or names of actions
    :param n_states: number of states B
    :return: (B,) indices into ``agent.target_names``, or a scalar target
    :raises ExplainError: if there is no such target; the nearest name is suggested
    """
    if isinstance(target, ScalarTarget) or callable(target):
        return _wrap(target)
    if isinstance(target, str):
        target = find_target(agent, target)
        if isinstance(target, ScalarTarget):
            return target
    if isinstance(target, list | tuple) and any(isinstance(each, str) for each in target):
        target = [find_action(agent, each, in_list=True) for each in target]
    return _index(agent, target, n_states)


def find_target(agent: Agent, target: Any) -> int | ScalarTarget:
    """Find the target that an index, a name or a function stands for.

    >>> from sb3_explain.agents.targets.find import find_target
    >>> find_target(agent, "right"), find_target(agent, "left - right").name
    (1, 'left - right')

    :param agent: agent that is explained
    :param target: see :mod:`sb3_explain.agents.targets`
    :return: an index into ``agent.target_names``, or a scalar target
    :raises ExplainError: if there is no such target; the nearest name is suggested
    """
    if callable(target):
        return _wrap(target)
    if not isinstance(target, str):
        return int(_index(agent, target, 1)[0])
    try:
        return _find_alone(agent, target)
    except ExplainError:
        spaced = target if MINUS in target else _space_contrast(agent, target)
        if spaced is None:
            raise
    return _find_contrast(agent, spaced)


def _find_alone(agent: Agent, target: str) -> int | ScalarTarget:
    """Find a target that is no contrast."""
    index = _find_index(agent, target)
    if index is not None:
        if spell_kind(target) in QUANTITIES:
            _warn_of_action(spell_kind(target))
        return index
    target = spell_kind(target)
    name, _, action = target.partition(":")
    if name == "action" and action:
        return find_action(agent, action)
    if not action and (name in ("q", "advantage") or target == "action:"):
        example = f"{name}:{agent.target_names[0]}"
        raise ExplainError(f"target={target!r} names no action: give one, such as {example!r}")
    if name in ("q", "advantage"):
        return _find_q_value(agent, name, action, target)
    if name.startswith("critic"):
        return ScalarTarget(target, partial(scalars.critic, number=_count_critic(agent, target)))
    if target in QUANTITIES:
        return ScalarTarget(target, QUANTITIES[target])
    if target in TARGETS:
        return ScalarTarget(target, partial(_negate, energy=make_target(target, agent)))
    contrast = VERSUS.sub(MINUS, target)
    if contrast != target and _space_contrast(agent, contrast) is not None:
        raise ExplainError(f"unknown target {target!r}; did you mean {contrast!r}?")
    names = [*list_target_names(agent), *TARGETS]
    if "action_names" in agent.unnamed and find_close_name(target, names) is None:
        raise ExplainError(
            f"unknown target {target!r}: nobody named this agent's actions ("
            f"{join_names(agent.target_names, 60)}): give action_names=, or load the model with "
            "the environment that names them"
        )
    raise unknown_name("target", target, names)


def _space_contrast(agent: Agent, target: str) -> str | None:
    """Write a contrast without blanks, ``"left-right"``, with them; ``None`` if it is none."""
    known = {name.lower() for name in list_target_names(agent)}
    cuts = [cut for cut, mark in enumerate(target) if mark == "-"]
    pairs = [(target[:cut].strip(), target[cut + 1 :].strip()) for cut in cuts]
    found = [pair for pair in pairs if all(side.lower() in known for side in pair)]
    return MINUS.join(found[0]) if len(found) == 1 else None


def find_action(agent: Agent, target: Any, *, in_list: bool = False) -> int:
    """Find the index of a target that is an action, for what explains actions alone.

    :param agent: agent that is explained
    :param target: index or name of an action
    :param in_list: whether it stands in a list of targets, one for each state
    :raises ExplainError: if there is none; the nearest name is suggested
    """
    try:
        found = find_target(agent, target)
    except ExplainError:
        if not isinstance(target, str) or "action_names" in agent.unnamed:
            raise
        raise unknown_name("action", target, agent.target_names) from None
    if isinstance(found, ScalarTarget):
        raise ExplainError(
            f"{found.name} is no action: give one of {', '.join(agent.target_names)}"
            + f" (a list has an action for each state; alone: target={found.name!r})" * in_list
        )
    return found


def find_energy(
    agent: Agent,
    target: str | Callable[..., Tensor],
    *,
    action: int | str | None = None,
    beta: float = BETA,
) -> EnergyFunction:
    """Find the energy of a search: that of :data:`TARGETS`, or minus another target.

    :param agent: agent whose states are searched for
    :param target: name in :data:`TARGETS`, an energy as a function, or another target, which is
        high in the states that are found
    :param action: index or name of the action, for the target ``"action"``
    :param beta: sharpness of the soft maximum, per unit of Q
    :raises ExplainError: for an unknown target or action
    """
    if not isinstance(target, str) or spell_kind(target).partition(":")[0] in TARGETS:
        return make_target(target, agent, action=action, beta=beta)
    found = find_target(agent, target)
    if isinstance(found, int):
        return make_target("action", agent, action=found)
    return partial(_negate, energy=found.read)


def name_search(agent: Agent, target: str) -> str:
    """Return the name of a search by which an action has one name, ``"action:LEFT"``.

    :param agent: agent whose states are searched for
    :param target: what :func:`find_energy` takes
    :raises ExplainError: if there is no such target
    """
    target = spell_kind(target)
    if target.partition(":")[0] in TARGETS:
        return target
    found = find_target(agent, target)
    return f"action:{agent.target_names[found]}" if isinstance(found, int) else target


def require_supported_target(agent: Agent, target: str, other: Agent | None = None) -> None:
    """Check that an agent's states can be searched for a target.

    :param agent: agent whose states are searched for
    :param target: what :func:`find_energy` takes
    :param other: second agent, for ``"disagreement"``
    :raises ExplainError: if there is no such target, or the agent does not have what it reads
    """
    try_energy(agent, find_energy(agent, target), other)


def is_scalar(agent: Agent, target: TargetLike) -> bool:
    """Return whether a target is none of the agent's actions.

    :param agent: agent that is explained
    :param target: what is explained; the greedy action when not given
    """
    if isinstance(target, str):
        return isinstance(find_target(agent, target), ScalarTarget)
    return isinstance(target, ScalarTarget) or callable(target)


def require_action(agent: Agent, target: ScalarTarget | None) -> None:
    """Check that it is an action that is explained, whose probability is asked for.

    :param agent: agent that is explained
    :param target: the scalar target; ``None`` for actions
    :raises ExplainError: for a scalar target, which has no probability
    """
    if target is not None:
        raise ExplainError(
            f"{target.name} is no action, and has no probability: give "
            f"target={agent.target_names[0]!r}, or another action"
        )


def list_target_names(agent: Agent) -> list[str]:
    """List the names of an agent's actions and of its other targets, without contrasts.

    >>> from sb3_explain.agents.targets.find import list_target_names
    >>> list_target_names(agent)
    ['left', 'right', 'value', 'entropy']
    """
    names = [*agent.target_names, "value"]
    if _has_q_values(agent):
        names += [f"{kind}:{each}" for kind in ("q", "advantage") for each in agent.target_names]
    names += [f"critic{number}" for number in range(1, agent.view.n_critics + 1)]
    return list(dict.fromkeys([*names, "entropy"]))  # an action may have the name of a quantity


def _find_index(agent: Agent, name: str) -> int | None:
    """Index of the target of a name or number; ``None`` if there is none."""
    by_name = {known.lower(): index for index, known in enumerate(agent.target_names)}
    text = name.strip().lower()
    if text in by_name:
        return by_name[text]
    return int(text) if text.isdecimal() and int(text) < agent.n_targets else None


@cache
def _warn_of_action(name: str) -> None:
    logger.warning(
        "%r is an action of this agent, which is explained; for the quantity give "
        "target=lambda outputs: outputs.%s",
        name, name,
    )  # fmt: skip


def _has_q_values(agent: Agent) -> bool:
    return agent.view.value_based and isinstance(agent.action_space, spaces.Discrete)


def _find_q_value(agent: Agent, name: str, action: str, target: str) -> int | ScalarTarget:
    if not _has_q_values(agent):
        instead = "'critic1'" if agent.view.n_critics else "an action, a contrast or 'value'"
        raise ExplainError(
            f"{target!r} needs Q-values of actions, and this agent ({agent.algo}) has none: "
            f"take {instead}"
        )
    index = _find_index(agent, action)
    if index is None:
        raise unknown_name("action", action, agent.target_names)
    if name == "q":  # the score itself
        return index
    return ScalarTarget(target, partial(scalars.advantage, index=index))


def _count_critic(agent: Agent, target: str) -> int:
    n_critics = agent.view.n_critics
    if not n_critics:
        raise ExplainError(
            f"{target!r} needs critics Q(s, a), and this agent ({agent.algo}) has none: take "
            "'value'"
        )
    matched = re.fullmatch(r"critic(\d{1,4})", target)
    if matched is None or not 1 <= int(matched[1]) <= n_critics:
        raise unknown_name("critic", target, [f"critic{i + 1}" for i in range(n_critics)])
    return int(matched[1])


def _find_contrast(agent: Agent, target: str) -> ScalarTarget:
    """A contrast, whose names may hold the minus themselves; A - B - C is (A - B) - C."""
    parts = target.split(MINUS)
    first_error: ExplainError | None = None
    for cut in reversed(range(1, len(parts))):
        sides = MINUS.join(parts[:cut]), MINUS.join(parts[cut:])
        try:
            first, second = (_as_scalar(agent, side.strip()) for side in sides)
        except ExplainError as error:
            first_error = first_error or error
            continue
        return ScalarTarget(target, partial(scalars.difference, first=first, second=second))
    assert first_error is not None
    raise first_error


def _as_scalar(agent: Agent, target: str) -> ScalarTarget:
    found = find_target(agent, target)
    if isinstance(found, ScalarTarget):
        return found
    return ScalarTarget(target, partial(scalars.target_score, index=found))


def _wrap(target: ScalarTarget | Callable[..., Any]) -> ScalarTarget:
    if isinstance(target, ScalarTarget):
        return target
    return ScalarTarget(name_function(target), target)


def _negate(outputs: Outputs, energy: EnergyFunction) -> Tensor:
    return -energy(outputs)


def _index(agent: Agent, target: Any, n_states: int) -> Tensor:
    """(B,) indices of one index, or one for each state."""
    given = np.asarray(target.cpu() if isinstance(target, Tensor) else target)
    if given.dtype.kind not in "iu" or given.shape not in ((), (n_states,)):
        what = f"target {target!r}" if given.ndim == 0 else f"a target of shape {given.shape}"
        raise ExplainError(
            f"{what} ({given.dtype}) for {n_states} states: give one index or name, or one for "
            "each state"
        )
    absent = given[(given < 0) | (given >= agent.n_targets)]
    if absent.size:
        raise ExplainError(
            f"target {absent.flat[0]} is no target of this agent, which has "
            f"{agent.n_targets}: {', '.join(agent.target_names)}"
        )
    return torch.as_tensor(given, device=agent.device, dtype=torch.long).expand(n_states)
