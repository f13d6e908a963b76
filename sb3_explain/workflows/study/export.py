"""``export_study``: the page of a study, its plan and its key, from an agent and its explainers."""

from __future__ import annotations

import dataclasses
import string
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import sole_writer, write_text
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.make import default_explainer
from sb3_explain.explainers.named import Explainers, name_all
from sb3_explain.report.page import make_title
from sb3_explain.report.study.page import Scene, write_study_page
from sb3_explain.states.baselines import make_baselines
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.chosen_explainers import list_fitted, require_same_split
from sb3_explain.workflows.splitting import split_states
from sb3_explain.workflows.study.arms import Arms, make_arms
from sb3_explain.workflows.study.plan import DESIGNS, FOLDER, PAGE, Design, Key, Plan, write_plan
from sb3_explain.workflows.study.questions import (
    Asked,
    Layout,
    ask_agents,
    ask_checks,
    ask_opinions,
    ask_predictions,
)
from sb3_explain.workflows.study.regions import find_region_questions
from sb3_explain.workflows.study.states import choose_states, find_candidates, name_answers
from sb3_explain.workflows.why import prepare_explainer

Array = NDArray[Any]
#: number of questions which of two agents acts
AGENT_QUESTIONS = 4


@dataclasses.dataclass(frozen=True)
class Study:
    """A study that was exported.

    :param page: the page of its participants
    :param plan: what it asks whom
    :param remarks: what a researcher should know of it, in sentences
    """

    page: Path
    plan: Plan
    remarks: Sequence[str]

    def __str__(self) -> str:
        """Say what is asked, and what to know."""
        counts = {task: len(self.plan.of_task(task)) for task in ("predict", "region", "opinion")}
        asked = ", ".join(f"{n} {task}" for task, n in counts.items() if n)
        return "\n".join([f"questions: {asked}; {self.plan.groups} arms", *self.remarks])


@check_arguments
def export_study(
    agent: Agent,
    output: str | Path,
    explainers: Explainers | None = None,
    *,
    other: Agent | None = None,
    other_explainers: Mapping[str, Explainer] | None = None,
    n_states: int = 9,
    n_opinions: int | None = None,
    design: Design = "within",
    words: Mapping[str, str] | None = None,
    title: str = "",
    about: str = "",
    post: str = "",
    n_played: int = 2000,
    seed: int = 0,
    progress: bool = True,
) -> Study:
    """Write a study of people: an offline page that asks them what maps tell them of an agent.

    Participants see states with no map, with the map of each explainer, and with those of two
    placebos: a random map that looks like one, and the map of the agent with random weights. They
    are asked what the agent does next, before and after they see the map; which region decides;
    and whether the map helps, the question of VisionMask's human study.

    >>> from sb3_explain import export_study
    >>> study = export_study(
    ...     image_agent, folder, "gradient", n_states=3, n_played=200, progress=False
    ... )
    >>> study.page.name, study.plan.groups
    ('study.html', 3)

    :param agent: an agent that observes images and has discrete actions
    :param output: output folder of :func:`sb3_explain.explain`, whose states and fitted explainers
        are used; what is missing of the states is played
    :param explainers: explainers, or their names; those that were fitted in the folder, or one that
        needs no fit, when not given
    :param other: another agent of the same actions, for the task which of the two acts
    :param other_explainers: explainers of that agent, by the names of those of the first; made by
        their names when not given
    :param n_states: number of states whose action is to be predicted
    :param n_opinions: number of states of the paper's question; as many when not given
    :param design: ``"within"``, each participant sees all arms; ``"between"``, one
    :param words: words for actions by their names; actions of the same words are one answer
    :param title: title of the page; the agent's when not given
    :param about: what participants should know of the game, such as which player is the agent
    :param post: address that the page sends answers to, as well as saving them
    :param n_played: number of states to play where the folder has none
    :param seed: random seed of states, maps and the agent's new weights
    :param progress: show progress bars
    :return: the page, the plan, and what a researcher should know of it
    :raises ExplainError: for another kind of agent, or if there are fewer states than asked for
    """
    output = Path(output)
    require_kind(agent, design, post)
    answers = name_answers(agent, words or {})
    if other is not None and other.target_names != agent.target_names:
        raise ExplainError("the two agents have different actions: give two agents of one game")
    states = open_states(agent, output, n_played, seed=seed, progress=progress)
    names = name_all(explainers if explainers is not None else choose_usual(agent, output))
    train, test, made = prepare_all(agent, output, states, names, seed)
    rng = np.random.default_rng(seed)
    arms = make_arms(agent, states, made, train, seed)
    letters = dict(
        zip(rng.permutation(arms.names()).tolist(), string.ascii_uppercase, strict=False)
    )
    layout = Layout(letters, design)

    candidates = find_candidates(states, agent, test.indices, answers, rng)
    baselines = make_baselines(agent, "background", train)
    regions = find_region_questions(states, agent, candidates, answers, baselines, rng)
    has_region = np.array([one is not None for one in regions])
    predicted = choose_states(candidates, n_states, rng, preferred=has_region)
    opinions = choose_states(
        candidates, n_states if n_opinions is None else n_opinions, rng, taken=predicted
    )
    asked, signed = ask_predictions(
        layout, arms, candidates.subset(predicted), answers, [regions[row] for row in predicted]
    )
    more, further = ask_opinions(layout, arms, candidates.subset(opinions), answers)
    asked, signed = asked + more, signed | further
    examples: list[list[Scene]] = []
    if other is not None:
        others = make_others(other, states, arms, other_explainers, train, seed)
        more, examples, further = ask_agents(
            layout, (arms, others), candidates, [*predicted, *opinions], answers, AGENT_QUESTIONS,
            rng,
        )  # fmt: skip
        asked, signed = asked + more, signed | further
    asked += ask_checks(layout)
    title = title or make_title(agent.describe())
    plan = Plan(title, design, tuple(sorted(letters.values())), (), {
        "agent": agent.describe(), "other": None if other is None else other.describe(),
        "explainers": {name: one.list_facts() for name, one in made.items()},
        "randomized_agent": None if arms.placebo is None else (
            {"explainer": arms.placebo.name, "layers": "all", "seed": seed}
        ),
        "random_map": {"imitates": next(iter(made)), "seed": seed},
        "states": {"played": len(states), "test": len(test)},
        "words": {
            name: answers.words[number]
            for name, number in zip(agent.target_names, answers.of_action, strict=True)
        },
        "seed": seed, "made": describe_machine(),
    })  # fmt: skip
    return write_study(
        output, plan, asked, letters, signed=sorted(signed), examples=examples, about=about,
        post=post,
    )  # fmt: skip


def require_kind(agent: Agent, design: str, post: str) -> None:
    """Refuse what a study cannot be made of.

    :raises ExplainError: for agents without images or with other actions, another design, or an
        address that is none
    """
    if find_image(agent) is None:
        raise ExplainError("a study shows pictures: this agent observes none")
    if not isinstance(agent.action_space, spaces.Discrete):
        kind = type(agent.action_space).__name__
        raise ExplainError(f"a study asks which action is next: they are {kind}, not Discrete")
    if design not in DESIGNS:
        raise unknown_name("design", design, DESIGNS)
    address = urllib.parse.urlsplit(post)
    known = address.scheme in ("http", "https") and address.hostname
    if post and (not known or set(post) & set("'\"; ,")):  # it stands in the page's policy
        raise ExplainError(f"post={post!r}: give an address that begins with https:// or http://")


def open_states(
    agent: Agent, output: Path, n_played: int, *, seed: int, progress: bool
) -> StateDataset:
    """Open the states of an output folder; play them where there are none."""
    folder = output / "states"
    if folder.exists():
        states = StateDataset.open(folder)
        states.require_labels_of(agent)
        return states
    return collect(agent, n_states=n_played, folder=folder, seed=seed, progress=progress)


def choose_usual(agent: Agent, output: Path) -> list[str]:
    """Name the explainers of a study for which none are named."""
    return list_fitted(output) or [default_explainer(agent)]


def prepare_all(
    agent: Agent,
    output: Path,
    states: StateDataset,
    names: Mapping[str, str | Explainer],
    seed: int,
) -> tuple[StateDataset, StateDataset, dict[str, Explainer]]:
    """Return the states to fit baselines on, those that may be shown, and all explainers.

    If an explainer learns, only states that it has not learned from are shown.
    """
    fitted = list_fitted(output)
    for name in names.values():
        if isinstance(name, Explainer) and name.agent.fingerprint() != agent.fingerprint():
            raise ExplainError(f"{name.name} explains another agent than the one given")
    learned = any(isinstance(one, FittedExplainer) or one in fitted for one in names.values())
    train, test = states, states
    if learned:
        train, _, test = split_states(states, seed)
    made = {
        name: prepare_explainer(agent, one, output, train) if isinstance(one, str) else one
        for name, one in names.items()
    }
    for one in made.values():
        if isinstance(one, FittedExplainer):
            require_same_split(one, train)
    return train, test, made


def make_others(
    other: Agent,
    states: StateDataset,
    arms: Arms,
    given: Mapping[str, Explainer] | None,
    train: StateDataset,
    seed: int,
) -> Arms:
    """Make the arms of the other agent, of the same names."""
    learned = [n for n, one in arms.explainers.items() if isinstance(one, FittedExplainer)]
    missing = [name for name in learned if name not in (given or {})]
    if missing:
        raise ExplainError(
            f"{missing[0]} learns: give that of the other agent in other_explainers="
        )
    made = {
        name: given[name]
        if given and name in given
        else (prepare_explainer(other, one.name, Path(), train))
        for name, one in arms.explainers.items()
    }
    return make_arms(other, states, made, train, seed)


def write_study(
    output: Path,
    plan: Plan,
    asked: Sequence[Asked],
    letters: Mapping[str, str],
    *,
    signed: Sequence[str],
    examples: Sequence[Sequence[Scene]] = (),
    about: str = "",
    post: str = "",
) -> Study:
    """Write the page, the plan and the key.

    :param output: output folder
    :param plan: the plan, still without questions
    :param asked: the questions with their answers and pictures
    :param letters: letter of each arm by its name
    :param signed: letters of arms whose maps have a sign
    :param examples: scenes of each of two agents
    :param about: what participants should know of the game
    :param post: address that answers are sent to
    """
    plan = dataclasses.replace(plan, questions=tuple(one.question for one in asked))
    key = Key(
        dict(sorted((letter, name) for name, letter in letters.items())),
        {one.question.name: one.truth for one in asked if one.truth is not None},
    )
    page = write_study_page(
        study=plan.study, title=plan.title, questions=[one.shown for one in asked],
        groups=plan.groups, signed=signed, examples=examples, about=about, post=post,
    )  # fmt: skip
    folder = output / FOLDER
    with sole_writer(folder):
        write_plan(folder, plan, key)
        write_text(folder / PAGE, page)
    return Study(folder / PAGE, plan, remark(plan))


def remark(plan: Plan) -> list[str]:
    """Say what a researcher should know of a study."""
    n_states, n_regions = len(plan.of_task("predict")), len(plan.of_task("region"))
    placebo = plan.facts["randomized_agent"]
    remarks = [
        f"random maps look like those of {plan.facts['random_map']['imitates']}",
        "no layer of the agent can be drawn anew: there is no arm of a randomized agent"
        if placebo is None
        else f"the randomized agent is explained by {placebo['explainer']}",
    ]
    if n_regions < n_states:
        remarks.append(
            f"{n_states - n_regions} of {n_states} states have no question of regions: there, no "
            "single region changes what the agent does, or too few others show something"
        )
    return remarks
