"""What happens over the steps of episodes, and which of them are worth a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.stats import spearmanr

from sb3_explain.agents.agent import Agent
from sb3_explain.report.viewer.playback import Bookmark, Episode
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import compute_shares
from sb3_explain.workflows.whole_episodes import find_endings, read_numbers

Array = NDArray[Any]
#: number of steps before a loss that are of interest: in Pong, the ball is still before the paddle
BEFORE_LOSS = 5
#: weight of an agent's own estimate in the return of a step, at most
ESTIMATED = 0.25
#: value and return are of one scale if neither spans so many times as much as the other
ALIKE = 4


def compute_columns(agent: Agent, states: StateDataset) -> dict[str, Array]:
    """Compute what a viewer draws over time; what the agent does not have is left out.

    The advantage is that of the step that was taken, ``r + gamma V(s') - V(s)``, and the return to
    come is discounted by gamma, with which the agent learned, or else by 0.99. Values are in the
    environment's own rewards where it is known how VecNormalize scaled them. Where an episode is
    not over by itself, the value of its last state stands for what would follow, as far as this
    weighs little: the return of its last steps, which would be mostly the agent's own estimate, is
    NaN.

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
        if not over:
            come[start:stop][units.gamma ** np.arange(stop - start, 0, -1) > ESTIMATED] = np.nan
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


class ValueNote(NamedTuple):
    """What is said beside the plot of value and return.

    :param said: sentences
    :param one_scale: whether both are of one unit
    """

    said: str = ""
    one_scale: bool = True


#: of steps whose value and return are not shown
UNKNOWN = ValueNote()


def describe_value(agent: Agent, columns: Mapping[str, Array], episode: Array) -> ValueNote:
    """Say in what unit the value is, and whether it tells the return that came.

    :param agent: the agent
    :param columns: what :func:`compute_columns` returns, of all steps that were played
    :param episode: (T,) numbers of their episodes
    """
    said = agent.value_units.describe()
    if not {"value", "return_to_come"} <= columns.keys():
        return ValueNote(said)
    value, come = columns["value"], columns["return_to_come"]
    known = np.isfinite(value) & np.isfinite(come)
    if not known.any():
        return ValueNote(said)
    value, come, n = value[known], come[known], len(np.unique(episode[known]))
    cut = "" if known.all() else " (the others stand at the end of episodes that were cut)"
    said += f" Of {join_counts(len(value), n)} whose return is known{cut}, "
    one_scale = are_alike(value, come)
    if one_scale:
        bias = float(value.mean() - come.mean())
        side = "high" if bias > 0 else "low"
        said += (
            f"on average the value is {abs(bias):.3g} too {side} ({value.mean():.3g}, and "
            f"{come.mean():.3g} came)"
        )
    else:
        said += (
            f"the value ({value.min():.3g} to {value.max():.3g}) is far from the return "
            f"({come.min():.3g} to {come.max():.3g}): an agent that has trained "
            "little does not know it yet, and one that learned from scaled or clipped rewards has "
            "a scale of its own"
        )
    if np.ptp(value) > 0 and np.ptp(come) > 0:
        said += f"; rank correlation {spearmanr(value, come).statistic:.2f}"
    return ValueNote(f"{said}.", one_scale)


def join_counts(n_steps: int, n_episodes: int) -> str:
    """Say of how many steps of how many episodes something is."""
    steps = "1 step" if n_steps == 1 else f"{n_steps:,} steps"
    return f"{steps} of {'1 episode' if n_episodes == 1 else f'{n_episodes:,} episodes'}"


def are_alike(value: Array, come: Array) -> bool:
    """Return whether values and returns may be of one unit: neither spans many times the other."""
    width, span = np.ptp(value), np.ptp(come)
    apart = abs((value.max() + value.min()) - (come.max() + come.min())) / 2
    return bool(span < ALIKE * width and width < ALIKE * span and apart < ALIKE * max(span, width))


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
    shown = [one for one in episodes if one.stop > one.start]
    marks += mark_losses(columns.get("reward"), shown)
    return marks + mark_ends(shown)


def mark_ends(episodes: Sequence[Episode]) -> list[Bookmark]:
    """Mark the ends of the worst and of the best episode that are over, as far as they are shown.

    :param episodes: episodes of which steps are shown
    """
    over = [
        one
        for one in episodes
        if one.over and one.first + one.stop - one.start == (one.length or one.stop - one.start)
    ]
    if not over:
        return []
    worst, best = (choose(over, key=lambda one: one.total) for choose in (min, max))
    if worst.total == best.total:
        return [Bookmark(over[-1].stop - 1, f"end of episode {over[-1].number}")]
    return [
        Bookmark(one.stop - 1, f"end of episode {one.number}, the {how} shown")
        for how, one in (("worst", worst), ("best", best))
    ]


def mark_losses(rewards: Array | None, episodes: Sequence[Episode]) -> list[Bookmark]:
    """Mark the first and the last loss, and the steps before each, where it can still be seen.

    All steps from there on are explained.

    :param rewards: (T,) rewards of the steps that are shown, where they are known
    :param episodes: episodes of these steps
    """
    placed = ((one, one.start + loss - one.first) for one in episodes for loss in one.losses)
    losses = [at for one, at in placed if one.start <= at < one.stop]
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
        lost = "" if rewards is None else f" ({rewards[loss]:.3g})"
        marks.append(Bookmark(loss, f"{name}{lost}", lead))
    return marks
