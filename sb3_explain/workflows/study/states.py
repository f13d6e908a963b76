"""Which states a study shows: different ones, of all actions, clear decisions and close ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.agents.action_spaces import target_scores
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.duplicates import GRAY_LEVELS
from sb3_explain.workflows.pictures import compute_shares

Array = NDArray[Any]

#: number of states that the states of a study are chosen from
POOL = 160
#: two states of an episode are further apart than this number of steps
GAP = 8


@dataclasses.dataclass(frozen=True)
class Answers:
    """What participants may say that the agent does.

    Actions with the same words are one answer: to people, some of them do the same.

    :param words: words of the O answers
    :param of_action: (K,) number of each action's answer
    """

    words: tuple[str, ...]
    of_action: Array


def name_answers(agent: Agent, words: Mapping[str, str]) -> Answers:
    """Name the answers, in the order of the actions.

    :param agent: an agent of discrete actions
    :param words: words for actions by their names; an action that is not in it has its name
    :raises ExplainError: for words for no action, or if all actions have the same
    """
    require_known("action", words, agent.target_names)
    shown = [words.get(name, name) for name in agent.target_names]
    different = tuple(dict.fromkeys(shown))
    if len(different) < 2:
        raise ExplainError(
            "a study needs two different answers: give words that tell actions apart"
        )
    return Answers(different, np.array([different.index(each) for each in shown]))


@dataclasses.dataclass(frozen=True)
class Candidates:
    """States that a study may show.

    :param positions: (n,) positions among all states
    :param answers: (n,) number of the right answer: the greedy action's
    :param clear: (n,) whether the decision is clearer than most of the same answer
    :param episodes: (n,) number of the episode
    :param steps: (n,) number of the step within it
    :param pixels: (n, D) observations
    """

    positions: NDArray[np.int64]
    answers: Array
    clear: Array
    episodes: Array
    steps: Array
    pixels: Array

    def subset(self, rows: Any) -> Candidates:
        """Return some of the states."""
        values = {f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)}
        return Candidates(**values)


def find_candidates(
    states: StateDataset,
    agent: Agent,
    positions: NDArray[np.int64],
    answers: Answers,
    rng: np.random.Generator,
) -> Candidates:
    """Draw candidates, of each answer as equally many as there are.

    :param states: all states of the agent
    :param agent: the agent
    :param positions: positions that may be shown
    :param answers: what participants may say
    :param rng: random numbers
    """
    scores = torch.from_numpy(states.column("scores")[positions])
    shares = compute_shares(agent, scores).numpy()
    right = answers.of_action[target_scores(agent.action_space, scores).argmax(dim=1).numpy()]
    of_answer = np.stack(
        [
            shares[:, answers.of_action == number].sum(axis=1)
            for number in range(len(answers.words))
        ],
        axis=1,
    )
    margin = np.diff(np.sort(of_answer, axis=1)[:, -2:], axis=1)[:, 0]
    drawn = [rng.permutation(np.flatnonzero(right == number)) for number in np.unique(right)]
    ranks = np.concatenate([np.arange(len(rows)) for rows in drawn])
    some = np.concatenate(drawn)[np.argsort(ranks, kind="stable")][:POOL]
    median = {number: np.median(margin[right == number]) for number in np.unique(right)}
    image = find_image(agent)
    assert image is not None
    batch = states.batch(agent, positions[some])
    return Candidates(
        positions[some],
        right[some],
        np.array([margin[row] > median[right[row]] for row in some]),
        states.episode[positions[some]],
        states.steps[positions[some]],
        batch.by_key[image].flatten(1).cpu().numpy().astype(np.float32),
    )


def choose_states(
    candidates: Candidates,
    n: int,
    rng: np.random.Generator,
    *,
    taken: Sequence[int] = (),
    allowed: Array | None = None,
    preferred: Array | None = None,
) -> list[int]:
    """Choose states one after the other: of the answer, kind and episode that has the fewest.

    None is nearly the same picture as another, or within a few steps of it.

    :param candidates: states to choose from
    :param n: number of states
    :param rng: random numbers, which decide between equals
    :param taken: rows that are chosen already, for other questions
    :param allowed: (n,) whether a state may be chosen; all when not given
    :param preferred: (n,) whether a state is better than others of its answer
    :return: n rows of the candidates
    :raises ExplainError: if there are fewer different ones
    """
    preferred = np.ones(len(candidates.positions), bool) if preferred is None else preferred
    ties = rng.permutation(len(preferred))
    strata = 2 * candidates.answers + candidates.clear
    free = np.ones(len(preferred), bool) if allowed is None else allowed.copy()
    for row in taken:
        free &= ~_find_near(candidates, row)
    chosen: list[int] = []
    for _ in range(n):
        if not free.any():
            raise ExplainError(
                f"only {len(chosen) + len(taken)} states differ enough for the "
                f"{n + len(taken)} that are asked for: play more states (n_played=), or ask for "
                "fewer (n_states=, n_opinions=)"
            )
        counts = [
            _count(kinds, chosen) for kinds in (candidates.answers, strata, candidates.episodes)
        ]
        order = np.lexsort((ties, counts[2], counts[1], ~preferred, counts[0]))
        chosen.append(int(order[free[order]][0]))
        free &= ~_find_near(candidates, chosen[-1])
    return chosen


def _count(kinds: Array, chosen: Sequence[int]) -> Array:
    """(n,) number of chosen states of each state's kind."""
    counts: Array = (kinds[:, None] == kinds[list(chosen)][None]).sum(axis=1)
    return counts


def _find_near(candidates: Candidates, row: int) -> Array:
    """(n,) whether a state hardly differs from that of a row, or is within a few steps of it."""
    alike = np.abs(candidates.pixels - candidates.pixels[row]).max(axis=1) <= GRAY_LEVELS
    close = np.abs(candidates.steps - candidates.steps[row]) < GAP
    near: Array = alike | ((candidates.episodes == candidates.episodes[row]) & close)
    return near
