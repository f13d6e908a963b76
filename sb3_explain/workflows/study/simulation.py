"""Simulated participants: their answers have known effects, in the form of the page's files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.files import write_json
from sb3_explain.workflows.study.plan import Key, Plan, Question, read_plan

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class People:
    """How people answer.

    The first answer of participant p to item i is right with probability
    1 / (1 + exp(-(b + u_p + v_i))), with normal u and v. At the second look it stays as it is,
    unless it is drawn anew. A map's effect is the probability by which right answers become more
    (or fewer) at the second look.

    :param accuracy: probability of a right answer of the usual participant to the usual item
    :param spread_participants: standard deviation of u, in logits
    :param spread_items: standard deviation of v
    :param redrawn: probability that the second answer does not depend on the first
    """

    accuracy: float = 0.5
    spread_participants: float = 0.5
    spread_items: float = 0.5
    redrawn: float = 0.3


def draw_items(people: People, n_items: int, rng: np.random.Generator) -> Array:
    """(I,) how easy items are, in logits."""
    return rng.normal(0, people.spread_items, n_items)


def find_chances(people: People, items: Array, participants: Array) -> Array:
    """(P, I) probability that a first answer is right."""
    usual = np.log(people.accuracy / (1 - people.accuracy))
    chances: Array = 1 / (1 + np.exp(-(usual + participants[:, None] + items[None])))
    return chances


def draw_predictions(
    people: People,
    items: Array,
    effects: Array,
    n_participants: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Draw whether answers are right before and after the map.

    :param people: how people answer
    :param items: (I,) how easy items are
    :param effects: (P, I) effect of the map that each participant sees in each item
    :param n_participants: number P of participants
    :param rng: random numbers
    :return: (P, I) of 0 and 1 before, and after
    """
    participants = rng.normal(0, people.spread_participants, n_participants)
    chances = find_chances(people, items, participants)
    before, again, anew, moved = rng.random((4, *chances.shape))
    first = before < chances
    second = np.where(anew < people.redrawn, again < chances, first)
    # of the wrong answers as many become right as make up the effect; of the right ones, wrong
    gained = ~second & (moved * (1 - chances) < effects)
    lost = second & (moved * chances < -effects)
    return first.astype(float), ((second | gained) & ~lost).astype(float)


def expect_gain(
    people: People, items: Array, effect: float, n: int = 100_000, seed: int = 0
) -> float:
    """Compute the mean gain that an effect has, over many participants.

    It is less than the effect where fewer answers than that are wrong.

    :param people: how people answer
    :param items: (I,) how easy items are
    :param effect: effect of the map
    :param n: number of participants
    :param seed: random seed of the participants
    """
    drawn = np.random.default_rng(seed).normal(0, people.spread_participants, n)
    chances = find_chances(people, items, drawn)
    return float(np.clip(effect, -chances, 1 - chances).mean())


def simulate_answers(
    plan: Plan,
    key: Key,
    n_participants: int,
    effects: Mapping[str, float],
    *,
    people: People = People(),
    careless: int = 0,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Simulate what the page of a study writes for each participant.

    :param plan: the plan
    :param key: the key
    :param n_participants: number of participants, who are drawn into groups
    :param effects: effect of arms by their names; 0 of others
    :param people: how they answer
    :param careless: number of participants who fail the attention checks
    :param seed: random seed
    """
    rng = np.random.default_rng(seed)
    groups = rng.integers(plan.groups, size=n_participants)
    predictions = plan.of_task("predict")
    others = [one for one in plan.questions if one.task not in ("predict", "check")]
    given = np.array([[_find_effect(one, group, key, effects) for one in predictions]
                      for group in groups])  # fmt: skip
    first, second = draw_predictions(
        people, draw_items(people, len(predictions), rng), given, n_participants, rng
    )
    files = []
    for p, group in enumerate(groups.tolist()):
        answers = []
        for i, question in enumerate(predictions):
            for part, right in (("before", first[p, i]), ("after", second[p, i])):
                answer = _answer(question, part, group, bool(right), key, rng)
                answer["confidence"] = int(min(max(rng.normal(3 + right, 1), 1), 5))
                answers.append(answer)
        for question in others:
            if question.arms[group] is not None:
                chance = people.accuracy + _find_effect(question, group, key, effects)
                answers.append(_answer(question, "", group, bool(rng.random() < chance), key, rng))
        for question in plan.of_task("check"):
            answers.append(_answer(question, "", group, p >= careless, key, rng))
        files.append({
            "format": 1, "study": plan.study, "participant": f"simulated-{seed}-{p}",
            "group": group, "order": list(dict.fromkeys(one["question"] for one in answers)),
            "answers": answers,
        })  # fmt: skip
    return files


def _find_effect(question: Question, group: int, key: Key, effects: Mapping[str, float]) -> float:
    letter = question.arms[group]
    return 0.0 if letter is None else effects.get(key.arms[letter], 0.0)


def _answer(
    question: Question, part: str, group: int, right: bool, key: Key, rng: np.random.Generator
) -> dict[str, Any]:
    """Answer a question rightly, or with another option; of an opinion the first is positive."""
    truth = key.truths.get(question.name, 0)
    wrong = [number for number in range(len(question.options)) if number != truth]
    return {
        "question": question.name, "part": part, "arm": question.arms[group],
        "response": truth if right else wrong[rng.integers(len(wrong))], "confidence": None,
        "ms": int(rng.gamma(4, 1000)),
    }  # fmt: skip


def write_simulated(
    output: Path, folder: Path, n_participants: int, effects: Mapping[str, float], seed: int = 0
) -> list[Path]:
    """Write the files of simulated participants of a study, as the page saves them.

    :param output: output folder of the study
    :param folder: folder of the files
    :param n_participants: number of participants
    :param effects: effect of arms by their names
    :param seed: random seed
    """
    plan, key = read_plan(output)
    files = simulate_answers(plan, key, n_participants, effects, seed=seed)
    paths = [folder / f"answers-{data['participant']}.json" for data in files]
    for path, data in zip(paths, files, strict=True):
        write_json(path, data)
    return paths
