"""What happens over the steps of episodes, and which of them are worth a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.report.viewer.playback import Bookmark, Episode
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import compute_shares
from sb3_explain.workflows.whole_episodes import find_endings, find_losses, read_numbers

Array = NDArray[Any]
#: number of steps before a loss that are of interest: in Pong, the ball is still before the paddle
BEFORE_LOSS = 5


def compute_columns(agent: Agent, states: StateDataset) -> dict[str, Array]:
    """Compute what a viewer draws over time; what the agent does not have is left out.

    The advantage is that of the step that was taken, ``r + gamma V(s') - V(s)``, and the return to
    come is discounted by gamma, with which the agent learned, or else by 0.99. Values are in the
    environment's own rewards where it is known how VecNormalize scaled them. Where an episode is
    not over by itself, the value of its last state stands for what would follow.

    :param agent: the agent of the states
    :param states: states of whole episodes, episode after episode
    """
    units = agent.value_units
    rewards = read_numbers(states, "rewards")
    values = units.unscale(read_numbers(states, "values"))
    ended = find_endings(states)
    starts = np.flatnonzero(np.r_[True, states.episode[1:] != states.episode[:-1]])
    come, advantage = np.zeros(len(values)), np.full(len(values), np.nan)
    for start, stop in zip(starts, [*starts[1:], len(values)], strict=True):
        over = ended[start] == 1
        later = 0.0 if over else values[stop - 1]
        for i in reversed(range(start, stop)):
            come[i] = later = rewards[i] + units.gamma * later
        following = np.append(values[start + 1 : stop], 0.0 if over else np.nan)
        here = slice(start, stop)
        advantage[here] = rewards[here] + units.gamma * following - values[here]
    columns = {
        "value": values,
        "return_to_come": come,
        "reward": rewards,
        "advantage": advantage,
    }
    if not isinstance(agent.action_space, spaces.Box):
        shares = compute_shares(agent, torch.from_numpy(states.column("scores"))).numpy()
        columns["entropy"] = -(shares * np.log(shares.clip(1e-12))).sum(axis=1)
    return {name: column for name, column in columns.items() if np.isfinite(column).any()}


def describe_drawing(agent: Agent, states: StateDataset) -> str:
    """Say how the actions of states were found from what the agent says of all of them.

    Where nobody wrote it down, an action that is not the greedy one tells that it was drawn.

    :param agent: the agent that played
    :param states: its states
    """
    behavior, epsilon = states.provenance.get("behavior"), states.provenance.get("epsilon") or 0
    if behavior not in ("greedy", "stochastic", "epsilon"):
        behavior = (
            "greedy"
            if np.allclose(states.actions - agent.first_action, states.greedy)
            else "stochastic"
        )
    by_value = agent.view.value_based
    if isinstance(agent.action_space, spaces.Box):
        if behavior == "stochastic":
            return "The action taken is drawn around these values."
        said, instead = "The action taken has these values", "it is random"
    else:
        if behavior == "stochastic" and not by_value:
            return "Actions are drawn from these probabilities."
        best = "action of the highest value" if by_value else "most probable action"
        said, instead = f"The {best} is taken", "a random one"
    if behavior == "greedy":
        return f"{said}."
    return f"{said}, but at times{f' (probability {epsilon:g})' if epsilon else ''} {instead}."


def list_bookmarks(episodes: Sequence[Episode], columns: Mapping[str, Array]) -> list[Bookmark]:
    """List the steps that are worth a look first.

    :param episodes: the episodes of the steps that are shown
    :param columns: what :func:`compute_columns` returns, of the steps that are shown
    """
    marks = []
    for name, said in (("advantage", "advantage"), ("value", "value")):
        if name in columns and np.ptp(columns[name][np.isfinite(columns[name])]) > 0:
            marks.append(Bookmark(int(np.nanargmax(columns[name])), f"highest {said}"))
            marks.append(Bookmark(int(np.nanargmin(columns[name])), f"lowest {said}"))
    if "entropy" in columns and np.ptp(columns["entropy"]) > 0:
        marks.append(Bookmark(int(columns["entropy"].argmin()), "surest decision"))
    rewards = columns.get("reward", np.zeros(1))
    shown = [one for one in episodes if one.stop > one.start]
    marks += mark_losses(rewards, shown)
    worst = min(shown, key=lambda one: one.total)
    for one in shown:
        if one.length is not None and one.first + one.stop - one.start < one.length:
            continue  # its end is not shown
        if one is worst and len(shown) > 1:
            said = f"end of episode {one.number}, the worst shown"
        else:
            said = f"end of episode {one.number}"
        marks.append(Bookmark(one.stop - 1, said))
    return marks


def mark_losses(rewards: Array, episodes: Sequence[Episode]) -> list[Bookmark]:
    """Mark the first and the last loss, and the steps before each, where it can still be seen.

    All steps from there on are explained.

    :param rewards: (T,) rewards of the steps that are shown
    :param episodes: episodes of these steps
    """
    losses = find_losses(rewards).tolist()
    named = {"loss": losses[0]} if len(losses) == 1 else {}
    if len(losses) > 1:
        named = {"first loss": losses[0], "last loss": losses[-1]}
    marks = []
    for name, loss in named.items():
        earlier = [one.start for one in episodes if one.start <= loss]
        earlier += [one + 1 for one in losses if one < loss]  # what follows a loss before this one
        lead = min(BEFORE_LOSS, loss - max(earlier))
        if lead:
            steps = "1 step" if lead == 1 else f"{lead} steps"
            marks.append(Bookmark(loss - lead, f"{steps} before the {name}"))
        marks.append(Bookmark(loss, f"{name} ({rewards[loss]:.3g})", lead))
    return marks
