"""What a policy takes besides the observation, as users give it: LSTM states and action masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import group_sizes
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.plain_arrays import read_array
from sb3_explain.common.errors import ExplainError, require_known

NAMES = ("lstm_states", "action_masks")
LSTM_ADVICE = (
    "give the pair that model.predict returned before this observation, or "
    "states.policy_inputs([...])"
)
MASK_ADVICE = "give 0 or 1 for each action of each state, as env.action_masks() returns them"


def read_policy_inputs(policy_inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Turn the policy inputs of one state or of several into those of a batch.

    :param policy_inputs: ``lstm_states`` and ``action_masks``, of which ``None`` is left out; an
        environment's masks of one state have no batch axis, and the LSTM states may be the pair
        that ``model.predict`` returns
    :return: batch-first inputs by name
    :raises ExplainError: for another name, the nearest is suggested, or for what holds no numbers
    """
    if policy_inputs is None:
        return {}
    if not isinstance(policy_inputs, Mapping):
        raise ExplainError(
            f"policy_inputs must be a dict, not {type(policy_inputs).__name__}: give "
            '{"action_masks": ...} or {"lstm_states": ...}'
        )
    require_known("policy input", policy_inputs, NAMES)
    read = {name: given for name, given in policy_inputs.items() if given is not None}
    if "action_masks" in read:
        masks = read["action_masks"]
        if not isinstance(masks, Tensor):
            masks = read_array(masks, "action_masks", MASK_ADVICE)
        read["action_masks"] = masks[None] if masks.ndim == 1 else masks
    states = read.get("lstm_states")
    if isinstance(states, tuple):
        read["lstm_states"] = _join_lstm_states(states)
    elif states is not None and not isinstance(states, Tensor):
        read["lstm_states"] = read_array(states, "lstm_states", LSTM_ADVICE)
    return read


def check_policy_inputs(agent: Agent, read: Mapping[str, Any]) -> None:
    """Refuse policy inputs that an agent cannot take.

    :param agent: agent that takes them
    :param read: batch-first inputs by name
    :raises ExplainError: for LSTM states of another size or of an agent without, or for masks that
        allow no action
    """
    states = read.get("lstm_states")
    if states is not None:
        first = agent.initial_lstm_states(1)
        if first is None:
            raise ExplainError("this agent has no LSTM: leave out lstm_states")
        if tuple(states.shape[1:]) != tuple(first.shape[1:]):
            raise ExplainError(
                f"lstm_states are {tuple(states.shape[1:])} for each state, and this agent's are "
                f"{tuple(first.shape[1:])}: {LSTM_ADVICE}"
            )
    masks = read.get("action_masks")
    if masks is not None:
        _check_masks(agent, masks)


def _check_masks(agent: Agent, masks: Tensor | NDArray[Any]) -> None:
    space = agent.action_space
    if masks.ndim == 0:
        raise ExplainError(f"action_masks is one number: {MASK_ADVICE}")
    plain = read_array(masks, "action_masks", MASK_ADVICE)
    allowed = plain.reshape(len(plain), -1) > 0
    if isinstance(space, spaces.MultiBinary):
        sizes = [2] * agent.n_scores  # whether each bit may be off, and whether it may be on
    else:
        sizes = list(group_sizes(space))
    own, n = (agent.n_scores, sum(sizes)), len(plain)
    if allowed.shape[1] not in own:
        raise ExplainError(
            f"action_masks are {tuple(plain.shape)}: this agent takes {(n, sum(sizes))} for {n} "
            f"state(s); {MASK_ADVICE}"
        )
    if allowed.shape[1] != sum(sizes):  # of MultiBinary actions, whether each bit may be on
        return
    for group in np.split(allowed, np.cumsum(sizes)[:-1], axis=1):
        empty = np.flatnonzero(~group.any(axis=1))
        if empty.size:
            raise ExplainError(
                f"action_masks of state {empty[0]} allow no action: allow at least one"
            )


def _join_lstm_states(pair: tuple[Any, ...]) -> NDArray[Any]:
    """Turn h and c of the actor, (L, B, H), into (B, 4, L, H); the critic's are NaN: unknown."""
    actor = [read_array(part, "lstm_states", LSTM_ADVICE) for part in pair]
    if len(actor) != 2 or actor[0].ndim != 3 or actor[1].shape != actor[0].shape:
        raise ExplainError(f"lstm_states: {LSTM_ADVICE}")
    unknown = np.full(actor[0].shape, np.nan, actor[0].dtype)
    return np.stack([*actor, unknown, unknown]).transpose(2, 0, 1, 3)
