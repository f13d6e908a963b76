"""Names of the actions, which an environment or a user gives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line, quote

logger = logging.getLogger(__name__)

ActionNames = Sequence[str] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]]


def number_actions(space: spaces.Space[Any]) -> list[str]:
    """Numbered names, one per score of an agent: ``"action 0"``, ``"action 1"``, ...

    :param space: action space of the agent; a MultiDiscrete one gives ``"action 0=1"``, ...
    """
    if isinstance(space, spaces.Discrete):
        return [f"action {i}" for i in range(int(space.n))]
    if isinstance(space, spaces.MultiDiscrete):
        return [f"action {i}={v}" for i, n in enumerate(space.nvec.ravel()) for v in range(n)]
    return [f"action {i}" for i in range(int(np.prod(space.shape or (1,))))]


def read_action_names(names: ActionNames | None, space: spaces.Space[Any]) -> tuple[str, ...]:
    """Read the names of actions: one per score of an agent.

    For several sub-actions (MultiDiscrete) the names may be a list for each of them, a dict of such
    lists by the sub-action's name, or the names of the sub-actions alone.

    >>> from gymnasium import spaces
    >>> from sb3_explain.envs.given_action_names import read_action_names
    >>> space = spaces.MultiDiscrete([2, 3])
    >>> read_action_names([["left", "right"], ["stay", "jump", "duck"]], space)
    ('left', 'right', 'stay', 'jump', 'duck')
    >>> read_action_names({"steer": ["left", "right"], "gas": ["0", "half", "full"]}, space)
    ('steer=left', 'steer=right', 'gas=0', 'gas=half', 'gas=full')
    >>> read_action_names(["steer", "gas"], space)
    ('steer=0', 'steer=1', 'gas=0', 'gas=1', 'gas=2')

    :param names: the names; numbers when there are none
    :param space: action space of the agent
    :raises ExplainError: if there are too few or too many, or a list for each of other actions
    """
    numbered = number_actions(space)
    if isinstance(names, np.ndarray):
        names = names.tolist()
    if names is None or (isinstance(names, Sequence | Mapping) and not names):
        return tuple(numbered)
    if isinstance(names, str) or not isinstance(names, Sequence | Mapping):
        raise ExplainError(f"action_names={quote(names)}: give a list of {len(numbered)} names")
    values = names.values() if isinstance(names, Mapping) else names
    nested = isinstance(names, Mapping) or any(not _is_name(each) for each in values)
    if isinstance(space, spaces.MultiDiscrete):
        sizes: list[int] = space.nvec.ravel().tolist()
        if nested:
            return _join_lists(names, sizes)
        if len(names) == len(sizes) < len(numbered):
            pairs = zip(names, sizes, strict=True)
            return tuple(f"{name}={value}" for name, size in pairs for value in range(size))
    elif nested:
        raise ExplainError(
            f"action_names is {'a dict' if isinstance(names, Mapping) else 'nested'}, and "
            f"{type(space).__name__} actions have no sub-actions: give one list of "
            f"{len(numbered)} names"
        )
    if len(names) != len(numbered):
        raise ExplainError(
            f"{len(names)} action names for {len(numbered)} scores: give one name per score"
        )
    return tuple(map(str, names))


def accept_action_names(names: Any, space: spaces.Space[Any]) -> tuple[str, ...] | None:
    """Read the names that an environment has for its actions; warn of those that do not fit.

    :param names: the environment's attribute ``action_names``; ``None`` if it has none
    :param space: action space of the agent
    :return: one name per score; ``None`` if there are none that fit
    """
    if names is None or (isinstance(names, Sequence | Mapping) and not names):
        return None
    try:
        return read_action_names(names, space)
    except ExplainError as error:
        logger.warning("the environment's action_names are left out (%s)", one_line(error))
        return None


def _is_name(value: Any) -> bool:
    """Whether something is one name, and not several."""
    return isinstance(value, str) or not isinstance(value, Sequence | Mapping | np.ndarray)


def _join_lists(names: Any, sizes: Sequence[int]) -> tuple[str, ...]:
    """One name per score, of a list of names for each sub-action.

    A name that stands alone is enough where no other sub-action has it.
    """
    lists = list(names.values() if isinstance(names, Mapping) else names)
    found = [0 if _is_name(each) else len(each) for each in lists]
    if found != list(sizes):
        raise ExplainError(
            f"action_names has lists of {', '.join(map(str, found))} names for sub-actions of "
            f"{', '.join(map(str, sizes))} values: give a list for each, with one name per value"
        )
    flat = [str(name) for each in lists for name in each]
    if not isinstance(names, Mapping) and len(set(flat)) == len(flat):
        return tuple(flat)
    keys = names if isinstance(names, Mapping) else [f"action {i}" for i in range(len(sizes))]
    return tuple(f"{key}={name}" for key, each in zip(keys, lists, strict=True) for name in each)
