"""The questions of a study with their answers and pictures, task by task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.study.page import PageQuestion, Scene
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.study.arms import Arms
from sb3_explain.workflows.study.pictures import draw_scenes
from sb3_explain.workflows.study.plan import (
    AGENTS,
    NO_MAP,
    YES_NO,
    Design,
    Question,
    assign_arms,
)
from sb3_explain.workflows.study.regions import RegionChoice
from sb3_explain.workflows.study.states import Answers, Candidates, choose_states

Array = NDArray[Any]

#: number of states of each agent that participants learn from
EXAMPLES = 3
#: questions that whoever reads them answers rightly: text, options and the right one
CHECKS = (
    ("To show that you read the questions, please press the button “river”.",
     ("mountain", "river", "forest", "island"), 1),
    ("Please press the button with the largest number.", ("12", "7", "31", "25"), 2),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question, its answer, and how the page asks it.

    :param question: the question
    :param shown: how the page asks it
    :param truth: number of the right option; ``None`` for an opinion
    """

    question: Question
    shown: PageQuestion
    truth: int | None


@dataclasses.dataclass(frozen=True)
class Layout:
    """What all questions of a study share.

    :param letters: letter of each arm by its name, in the order in which groups have them
    :param design: ``"within"`` or ``"between"``
    """

    letters: Mapping[str, str]
    design: Design

    def assign(self, number: int, *, asks_no_map: bool = True) -> tuple[str | None, ...]:
        """Assign an arm to each group for a question."""
        skipped = "" if asks_no_map else self.letters[NO_MAP]
        return assign_arms(sorted(self.letters.values()), number, self.design, skipped)

    def make(
        self,
        name: str,
        options: Sequence[str],
        number: int,
        truth: int | None,
        state: Mapping[str, int] | None = None,
        **shown: Any,
    ) -> Asked:
        """Make a question; its name begins with its task."""
        task = name.partition("-")[0]
        arms = self.assign(number, asks_no_map=task != "opinion")
        question = Question(name, task, tuple(options), arms, state)
        return Asked(question, PageQuestion(name, task, options, arms, **shown), truth)


def describe_state(states: StateDataset, position: int) -> dict[str, int]:
    """Say which state it is: its position in the store, its episode, and the step within it."""
    return {
        "position": int(position),
        "episode": int(states.episode[position]),
        "step": int(states.steps[position]),
    }


def ask_predictions(
    layout: Layout,
    arms: Arms,
    chosen: Candidates,
    answers: Answers,
    regions: Sequence[RegionChoice | None],
) -> tuple[list[Asked], set[str]]:
    """Ask what the agent does next, and, where it is known, which region decides.

    :return: the questions, and the letters of arms whose maps have a sign
    """
    numbered = [() if one is None else one.regions for one in regions]
    words = [answers.words[right] for right in chosen.answers]
    scenes, signed = draw_scenes(arms, chosen.positions, layout.letters, words, numbered)
    asked = []
    for i, scene in enumerate(scenes):
        state = describe_state(arms.states, chosen.positions[i])
        plain = dataclasses.replace(scene, numbered=None)
        name = f"predict-{i + 1}"
        asked.append(
            layout.make(name, answers.words, i, int(chosen.answers[i]), state, scene=plain)
        )
        region = regions[i]
        if region is not None:
            options = [str(number + 1) for number in range(len(region.regions))]
            asked.append(
                layout.make(
                    f"region-{i + 1}", options, i, region.truth, state, scene=scene, after=name
                )
            )
    return asked, signed


def ask_opinions(
    layout: Layout, arms: Arms, chosen: Candidates, answers: Answers
) -> tuple[list[Asked], set[str]]:
    """Ask the paper's question: whether the map helps to understand what the agent does.

    It shows what the agent does; in the arm without a map it is not asked.

    :return: the questions, and the letters of arms whose maps have a sign
    """
    words = [answers.words[right] for right in chosen.answers]
    scenes, signed = draw_scenes(arms, chosen.positions, layout.letters, words)
    asked = [
        layout.make(
            f"opinion-{i + 1}", YES_NO, i, None,
            describe_state(arms.states, chosen.positions[i]), scene=scene,
        )
        for i, scene in enumerate(scenes)
    ]  # fmt: skip
    return asked, signed


def ask_agents(
    layout: Layout,
    both: Sequence[Arms],
    candidates: Candidates,
    taken: Sequence[int],
    answers: Answers,
    n: int,
    rng: np.random.Generator,
) -> tuple[list[Asked], list[list[Scene]], set[str]]:
    """Ask which of two agents acts, after examples of both, in states in which they differ.

    :param layout: what all questions share
    :param both: the arms of the agent and of the other one, of the same states
    :param candidates: states to choose from
    :param taken: rows of them that are shown elsewhere
    :param answers: what participants may say that an agent does
    :param n: number of questions
    :param rng: random numbers
    :return: the questions, the examples of each agent, and the letters of arms whose maps have a
        sign
    """
    target = both[1].states.batch(both[1].agent, candidates.positions).target.cpu().numpy()
    theirs = answers.of_action[target]
    different = theirs != candidates.answers
    if different.sum() < n + EXAMPLES:
        raise ExplainError(
            f"the two agents do different things in {different.sum()} states, of the "
            f"{n + EXAMPLES} that are needed: play more states (n_played=), or leave out the other"
        )
    rows = choose_states(candidates, n + EXAMPLES, rng, taken=taken, allowed=different)
    positions = candidates.positions[rows]
    words = [
        [answers.words[each] for each in doing[rows]] for doing in (candidates.answers, theirs)
    ]
    drawn = [
        draw_scenes(arms, positions, layout.letters, said)
        for arms, said in zip(both, words, strict=True)
    ]
    # agent X is the one or the other, which the page does not say
    order = rng.permutation(2).tolist()
    examples = [drawn[which][0][:EXAMPLES] for which in order]
    acting = rng.permutation(np.arange(n) % 2).tolist()
    asked = [
        layout.make(
            f"agent-{i + 1}", AGENTS, i, order.index(which),
            describe_state(both[0].states, positions[EXAMPLES + i]),
            scene=drawn[which][0][EXAMPLES + i],
        )
        for i, which in enumerate(acting)
    ]  # fmt: skip
    return asked, examples, drawn[0][1] | drawn[1][1]


def ask_checks(layout: Layout) -> list[Asked]:
    """Ask what whoever reads the question answers rightly."""
    return [
        layout.make(f"check-{i + 1}", options, 0, right, text=text)
        for i, (text, options, right) in enumerate(CHECKS)
    ]
