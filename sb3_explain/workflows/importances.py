"""Measures of how important a state is, of which highlights shows the highest."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.agents.action_spaces import group_sizes, target_scores
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.critical_steps import StateMask
from sb3_explain.workflows.critical_steps.stored_states import CRITICAL, rate_states

Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

#: range of the returns, as a share of the largest magnitude, below which no episode stands out
NEAR = 0.5


def compute_score_gap(agent: Agent, states: StateDataset) -> Array:
    """Return max - min of the scores, (n,): of Q-values (equation 1 of the paper), else of logits.

    Of several sub-actions, it is the largest gap. Where it is high, the choice of action matters.
    """
    scores = target_scores(agent.action_space, torch.from_numpy(states.column("scores")))
    groups = torch.split(scores, group_sizes(agent.action_space), dim=1)
    gaps = torch.stack([group.amax(dim=1) - group.amin(dim=1) for group in groups], dim=1)
    return gaps.amax(dim=1).double().numpy()


def compute_advantage(agent: Agent, states: StateDataset) -> Array:
    """Return max - mean of the Q-values, (n,): the advantage of the greedy action over any action.

    Huang et al. (2018), "Establishing appropriate trust via critical states".
    """
    del agent
    scores = states.column("scores").astype(np.float64)
    advantage: Array = scores.max(axis=1) - scores.mean(axis=1)
    return advantage


def compute_value_change(agent: Agent, states: StateDataset) -> Array:
    """Return |V(s') - V(s)|, (n,): how much the next state changes the return that is expected.

    It is 0 at the end of an episode.
    """
    del agent
    values = states.column("values").astype(np.float64)
    change = np.zeros(len(values))
    same = states.episode[1:] == states.episode[:-1]
    change[:-1][same] = np.abs(np.diff(values))[same]
    return change


def compute_low_value(agent: Agent, states: StateDataset) -> Array:
    """Return -V(s), (n,): high where the agent expects little."""
    del agent
    low: Array = -states.column("values").astype(np.float64)
    return low


def compute_surprise(agent: Agent, states: StateDataset) -> Array:
    """Return |r + gamma V(s') - V(s)|, (n,): the error of the value that the agent expected.

    Gamma and the scale of rewards are those that the agent learned with, as far as they are known.
    It is 0 at the end of an episode, which may be that of the game or of the time.
    """
    units = agent.value_units
    values = units.unscale(states.column("values").astype(np.float64))
    rewards = states.column("rewards").astype(np.float64)
    surprise = np.zeros(len(values))
    same = states.episode[1:] == states.episode[:-1]
    error = rewards[:-1] + units.gamma * values[1:] - values[:-1]
    surprise[:-1][same] = np.abs(error)[same]
    return surprise


def compute_nearness_to_failure(agent: Agent, states: StateDataset) -> Array:
    """Return how near a state is to the end of an episode of a low return, (n,) in [0, 1].

    It is w / (1 + the number of states that follow in the episode). w is 1 for the episode of the
    lowest return, 0 for that of the highest, and linear between. Neither the end of a game nor a
    limit of time says whether an agent has failed; its return does. The last episode has w = 0: it
    is cut where there are as many states as were asked for, and its return is not known.

    :raises ExplainError: if no two episodes before the last have different returns
    """
    del agent
    _, first, number, lengths = np.unique(
        states.episode, return_index=True, return_inverse=True, return_counts=True
    )
    returns = compute_returns(states)[first][:-1]
    if len(returns) < 2:
        raise ExplainError(
            "before the last episode, which is cut, there are no two to compare: play more "
            "(n_states=...), or choose importance=gap"
        )
    if np.ptp(returns) == 0:
        raise ExplainError(
            f"all {len(returns)} episodes have the return {returns[0]:.3g}, none has failed: play "
            "more (n_states=...), or choose importance=gap"
        )
    if np.ptp(returns) < NEAR * np.abs(returns).max():
        logger.warning(
            "the returns of all %d episodes are near (%.4g to %.4g): what is shown are the ends of "
            "the lowest, which need not have failed",
            len(returns),
            returns.min(),
            returns.max(),
        )
    weights = np.append((returns.max() - returns) / np.ptp(returns), 0.0)
    ends = np.cumsum(lengths)[number]
    nearness: Array = weights[number] / (ends - np.arange(len(number)))
    return nearness


def compute_returns(states: StateDataset) -> Array:
    """Return the return of each state's episode, (n,).

    It is NaN in the last episode, which is cut where there are as many states as were asked for.
    """
    _, number = np.unique(states.episode, return_inverse=True)
    rewards = states.column("rewards").astype(np.float64)
    returns: Array = np.bincount(number, weights=rewards).astype(np.float64)
    returns[-1] = np.nan
    return returns[number]


#: measures of importance by name
IMPORTANCES: dict[str, Callable[[Agent, StateDataset], Array]] = {
    "gap": compute_score_gap,
    "advantage": compute_advantage,
    "value_change": compute_value_change,
    "value_low": compute_low_value,
    "surprise": compute_surprise,
    "before_failure": compute_nearness_to_failure,
}
#: all names of importance: that of a fitted StateMask, too
NAMES = (*IMPORTANCES, CRITICAL)


def compute_importance(
    agent: Agent,
    states: StateDataset,
    name: str | None = None,
    mask: StateMask | None = None,
) -> Array:
    """Return the importance of each state, (n,).

    :param agent: the agent of the states
    :param states: n states in time order, episode after episode
    :param name: one of :data:`NAMES`; when not given ``"gap"``, for Box actions ``"value_change"``
    :param mask: a StateMask that was fitted, which ``"critical"`` needs
    :raises ExplainError: for an unknown name, or one that this agent does not have
    """
    name = choose_importance(agent, name)
    if name == CRITICAL:
        if mask is None:
            raise ExplainError("critical needs a StateMask that was fitted")
        return rate_states(mask, states)
    importance = IMPORTANCES[name](agent, states)
    if not np.isfinite(importance).all():
        instead = "before_failure" if isinstance(agent.action_space, spaces.Box) else "gap"
        raise ExplainError(f"this agent has no values, which {name} needs: use {instead}")
    return importance


def choose_importance(agent: Agent, name: str | None) -> str:
    """Return the name of the measure of importance to use, by default that of the action space.

    :raises ExplainError: for an unknown name, or one that this agent does not have
    """
    continuous = isinstance(agent.action_space, spaces.Box)
    name = name or ("value_change" if continuous else "gap")
    if name not in NAMES:
        raise unknown_name("importance", name, NAMES)
    if name == "gap" and continuous:
        raise ExplainError("Box actions have no gap of scores: use value_change")
    has_q_values = agent.view.value_based and isinstance(agent.action_space, spaces.Discrete)
    if name == "advantage" and not has_q_values:
        instead = "value_change" if continuous else "gap"
        raise ExplainError(
            f"this agent ({agent.algo}) has no Q-values, which advantage needs: use {instead}"
        )
    return name
