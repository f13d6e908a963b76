"""Actions that action masks forbid: their score is the same whatever is observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.action_spaces import target_scores
from sb3_explain.agents.policy_views import FORBIDDEN
from sb3_explain.states.batch import StateBatch

#: most names of a list
MOST_NAMES = 8


def find_forbidden(action_space: spaces.Space[Any], scores: Tensor) -> Tensor:
    """Find the targets that action masks forbid.

    :param action_space: any action space but Box, whose policies take no masks
    :param scores: (B, K) scores under the masks
    :return: (B, C) whether each target is forbidden
    """
    # of a bit that is forbidden, half of the score
    return target_scores(action_space, scores) <= FORBIDDEN / 2


def list_all_forbidden(action_space: spaces.Space[Any], scores: Tensor) -> list[list[int]]:
    """List the numbers of the targets that action masks forbid, for each of B states.

    :param action_space: any action space; policies of Box actions take no masks
    :param scores: (B, K) scores under the masks
    """
    if isinstance(action_space, spaces.Box):
        return [[] for _ in scores]
    return [row.nonzero()[:, 0].tolist() for row in find_forbidden(action_space, scores)]


def describe_masks(batch: StateBatch, row: int) -> str:
    """Say which actions the masks of a state forbid, or which alone they allow, if those are fewer.

    :param batch: states of an agent
    :param row: which of the states
    :return: a part of a sentence; empty without action masks
    """
    if "action_masks" not in batch.policy_inputs:
        return ""
    names, numbers = batch.agent.target_names, list_forbidden(batch, row)
    refused = [names[i] for i in numbers]
    allowed = [name for i, name in enumerate(names) if i not in numbers]
    if not refused:
        return "no action is forbidden here"
    if len(refused) <= len(allowed):
        return f"forbidden here: {_list_names(refused)}"
    return f"allowed here: only {_list_names(allowed)}"


def list_forbidden(batch: StateBatch, row: int = 0) -> list[int]:
    """List the numbers of the targets that the action masks of a state forbid."""
    if "action_masks" not in batch.policy_inputs:
        return []
    return list_all_forbidden(batch.agent.action_space, batch.own_scores[row : row + 1])[0]


def _list_names(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def describe_forbidden(batch: StateBatch) -> str:
    """Say which of the explained actions masks forbid, so that nothing speaks for or against them.

    :param batch: states that are explained
    :return: a sentence; empty if all explained actions are allowed, and for other targets
    """
    if batch.scalar is not None or isinstance(batch.agent.action_space, spaces.Box):
        return ""
    forbidden = find_forbidden(batch.agent.action_space, batch.own_scores)
    rows = forbidden.gather(1, batch.target[:, None])[:, 0].nonzero()[:, 0].tolist()
    if not rows:
        return ""
    named = batch.name_targets()
    names = ", ".join(dict.fromkeys(named[row] for row in rows))
    where = ""
    if len(batch) > 1:
        where = f" in observation{'s' * (len(rows) > 1)} {', '.join(str(row + 1) for row in rows)}"
    return f"The action masks forbid {names}{where}: its score is the same whatever is observed."
