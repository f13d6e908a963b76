"""``study_power``: how often a study of so many people would find an effect, by simulation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.comparisons import bound_share
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.numbers import require_number, require_whole
from sb3_explain.common.signatures import check_arguments
from sb3_explain.workflows.study.comparing import compare_arms
from sb3_explain.workflows.study.plan import (
    DESIGNS,
    NO_MAP,
    RANDOM_MAP,
    RANDOMIZED_AGENT,
    Design,
    assign_arms,
)
from sb3_explain.workflows.study.simulation import People, draw_items, draw_predictions

Array = NDArray[Any]

#: p-value, adjusted by Holm, below which a difference is found
LEVEL = 0.05
#: number of permutations of each simulated test, for p-values near the level
PERMUTATIONS = 1999
#: power that studies are usually planned for
USUAL_POWER = 0.8


@dataclasses.dataclass(frozen=True)
class StudyPower:
    """How often simulated studies found an effect.

    :param power: share of the studies that found that an explainer's map is better than none
    :param low: lower bound of its 95 % interval (Wilson), from the number of simulations
    :param high: upper bound
    :param n_simulations: number of simulated studies
    :param question: what was simulated, in words
    """

    power: float
    low: float
    high: float
    n_simulations: int
    question: str

    def __str__(self) -> str:
        """Say the power, its interval, and what it is of."""
        bounds = f"95 % interval {self.low:.2f} to {self.high:.2f}"
        return (
            f"power {self.power:.2f} ({bounds}, {self.n_simulations} simulations): {self.question}"
        )


@check_arguments
def study_power(
    n_participants: int,
    n_states: int = 9,
    effect: float = 0.15,
    *,
    n_arms: int = 4,
    design: Design = "within",
    accuracy: float = 0.5,
    spread_participants: float = 0.5,
    spread_items: float = 0.5,
    n_simulations: int = 400,
    seed: int = 0,
) -> StudyPower:
    """Simulate studies, and count those that find an effect of an explainer's map.

    A study finds it where predictions gain more from the explainer's map than from a second look
    without one: by the test of the analysis, and Holm's adjustment over all its comparisons.

    >>> from sb3_explain import study_power
    >>> study_power(60, effect=0.3, n_simulations=100).power > 0.9
    True

    :param n_participants: number of participants
    :param n_states: number of states whose action is predicted
    :param effect: probability by which the explainer's map makes more predictions right
    :param n_arms: number of arms: none, explainers, and the two placebos, whose effect is 0; there
        is an effect of the first explainer alone
    :param design: ``"within"`` or ``"between"`` participants
    :param accuracy: probability of a right prediction without a map
    :param spread_participants: standard deviation of participants' ability, in logits
    :param spread_items: standard deviation of states' easiness, in logits
    :param n_simulations: number of studies
    :param seed: random seed
    :return: the power, with the interval that the number of simulations leaves
    :raises ExplainError: for numbers out of range
    """
    require_whole("n_participants", n_participants, 2, 100_000)
    require_whole("n_states", n_states, 1, 10_000)
    require_whole("n_arms", n_arms, 2, 26)
    require_whole("n_simulations", n_simulations)
    require_number("effect", effect, -1, 1)
    require_number("spread_participants", spread_participants, 0, 10)
    require_number("spread_items", spread_items, 0, 10)
    if not 0 < accuracy < 1:
        raise ExplainError(f"accuracy={accuracy}: give a number between 0 and 1")
    if design not in DESIGNS:
        raise unknown_name("design", design, DESIGNS)
    if design == "within" and n_states < n_arms:
        raise ExplainError(
            f"n_states={n_states}: give at least {n_arms}, so that each participant sees all arms"
        )
    people = People(accuracy, spread_participants, spread_items)
    arms = name_arms(n_arms)
    rng = np.random.default_rng(seed)
    n_found = sum(
        find_effect(arms, n_participants, n_states, effect, design, people, rng)
        for _ in range(n_simulations)
    )
    low, high = bound_share(n_found, n_simulations)
    question = (
        f"{n_participants} participants, {n_states} states, {n_arms} arms {design} participants, "
        f"{accuracy:.0%} right without a map, {effect:+.0%} with an explainer's"
    )
    return StudyPower(n_found / n_simulations, low, high, n_simulations, question)


def name_arms(n_arms: int) -> list[str]:
    """Name the arms of a simulated study: none, an explainer, placebos, then other explainers."""
    usual = [NO_MAP, "explainer", RANDOM_MAP, RANDOMIZED_AGENT]
    return [*usual[:n_arms], *(f"explainer {number}" for number in range(2, n_arms - 2))]


def draw_arms(
    arms: Sequence[str], groups: NDArray[np.int64], n_states: int, design: Design
) -> Array:
    """(P, I) number of the arm of each participant in each state.

    :param arms: names of the arms
    :param groups: (P,) group of each participant
    :param n_states: number I of states
    :param design: ``"within"`` or ``"between"``
    """
    by_state = [
        [arms.index(str(name)) for name in assign_arms(arms, i, design)] for i in range(n_states)
    ]
    return np.array(by_state).T[groups]


def find_effect(
    arms: Sequence[str],
    n_participants: int,
    n_states: int,
    effect: float,
    design: Design,
    people: People,
    rng: np.random.Generator,
) -> bool:
    """Simulate one study, and say whether it finds that the explainer's map is better than none.

    :param arms: names of the arms, the explainer's second
    :param n_participants: number of participants
    :param n_states: number of states
    :param effect: effect of the explainer's map
    :param design: ``"within"`` or ``"between"``
    :param people: how they answer
    :param rng: random numbers
    """
    given = draw_arms(arms, rng.integers(len(arms), size=n_participants), n_states, design)
    items = draw_items(people, n_states, rng)
    before, after = draw_predictions(
        people, items, np.where(given == 1, effect, 0.0), n_participants, rng
    )
    compared = compare_arms(
        after - before, given, arms, design, n_permutations=PERMUTATIONS, n_resamples=0,
        seed=int(rng.integers(2**31)),
    )  # fmt: skip
    first = compared[0]
    return bool(first.p_holm < LEVEL and np.sign(first.difference) == np.sign(effect or 1))
