"""The answers of participants, as the page writes them: read, checked, and put into tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import (
    array,
    exactly,
    one_of,
    optional,
    read_document,
    record,
    text,
    whole,
)
from sb3_explain.workflows.study.plan import Key, Plan, Question

Array = NDArray[Any]

#: what to do about a damaged file
REMEDY = "leave it out, or take it as the page saved it"
#: largest number of ms that an answer takes
LONGEST = 10**9

_ANSWER = record(
    {
        "question": text(100),
        "part": one_of("", "before", "after"),
        "arm": optional(text(10)),
        "response": whole(0, 1000),
        "confidence": optional(whole(1, 5)),
        "ms": whole(0, LONGEST),
    }
)
_FORM = record(
    {
        "format": exactly(1),
        "study": text(64),
        "participant": text(64),
        "group": whole(0, 1000),
        "order": array(text(100), longest=10_000),
        "answers": array(_ANSWER, longest=20_000),
    }
)


def read_answers(paths: Sequence[Path], plan: Plan) -> list[dict[str, Any]]:
    """Read the files of all participants.

    :param paths: files that the page saved
    :param plan: the plan that they belong to
    :return: the content of the files
    :raises ExplainError: if there is none, one is damaged or of another study, or a participant
        stands in two
    """
    if not paths:
        raise ExplainError("there are no answers: give the files that participants saved")
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in paths:
        data = read_document(path, _FORM, REMEDY)
        if data["study"] != plan.study:
            raise ExplainError(
                f"{path} has answers to another study ({data['study']}, not {plan.study}): leave "
                "it out, or analyze it in the folder of its own study"
            )
        participant = data["participant"]
        if participant in found:
            raise ExplainError(
                f"participant {participant} answered twice ({found[participant][0].name} and "
                f"{path.name}): leave out one of the two"
            )
        require_fitting(data, plan, path)
        found[participant] = path, data
    return [data for _, data in found.values()]


def require_fitting(data: Mapping[str, Any], plan: Plan, path: Path) -> None:
    """Check that answers are some that the plan's page can have written.

    :raises ExplainError: if not
    """
    questions = {one.name: one for one in plan.questions}
    seen = set()
    for one in data["answers"]:
        question = questions.get(one["question"])
        problem = ""
        if question is None:
            problem = f"there is no question {one['question']!r}"
        elif data["group"] >= plan.groups:
            problem = f"there is no group {data['group']}"
        elif one["response"] >= len(question.options):
            problem = f"{question.name} has no option {one['response']}"
        elif one["arm"] != question.arms[data["group"]]:
            problem = f"group {data['group']} has another arm of {question.name}"
        elif (question.name, one["part"]) in seen:
            problem = f"{question.name} is answered twice"
        elif (question.task == "predict") != (one["part"] != ""):
            problem = f"{question.name} has no part {one['part']!r}"
        if problem:
            raise ExplainError(f"{path} is damaged ({problem}): {REMEDY}")
        seen.add((one["question"], one["part"]))


@dataclasses.dataclass(frozen=True)
class Table:
    """The answers to the questions of one task, a row for each participant.

    :param questions: the I questions
    :param arms: (P, I) number of the arm, in the order of the study's arms; -1 where nothing was
        asked
    :param responses: (P, I) number of the option; NaN where there is no answer
    :param right: (P, I) whether it is the right one; NaN where there is no answer, or no truth
    :param confidence: (P, I) from 1 to 5; NaN where it was not asked
    """

    questions: Sequence[Question]
    arms: Array
    responses: Array
    right: Array
    confidence: Array

    def of_arm(self, values: Array, arm: int) -> Array:
        """(P, I) values of one arm, NaN elsewhere."""
        return np.where(self.arms == arm, values, np.nan)


def make_table(
    files: Sequence[Mapping[str, Any]],
    plan: Plan,
    key: Key,
    arms: Sequence[str],
    task: str,
    part: str = "",
) -> Table:
    """Put the answers to a task into a table.

    :param files: answers of P participants
    :param plan: the plan
    :param key: the key
    :param arms: names of the arms in the order in which they are numbered
    :param task: name of the task
    :param part: ``"before"`` or ``"after"`` of a prediction
    """
    questions = plan.of_task(task)
    columns = {one.name: i for i, one in enumerate(questions)}
    shape = (len(files), len(questions))
    responses, confidence = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, data in enumerate(files):
        for one in data["answers"]:
            if one["question"] in columns and one["part"] == part:
                column = columns[one["question"]]
                responses[row, column] = one["response"]
                rated = one["confidence"]
                confidence[row, column] = np.nan if rated is None else rated
    numbers: dict[str | None, int] = {None: -1}
    numbers |= {letter: arms.index(name) for letter, name in key.arms.items()}
    given = np.array([[numbers[one.arms[d["group"]]] for one in questions] for d in files], int)
    truths = np.array([key.truths.get(one.name, np.nan) for one in questions])
    right = np.where(np.isnan(responses) | np.isnan(truths), np.nan, responses == truths)
    return Table(questions, given.reshape(shape), responses, right, confidence)


def pass_checks(files: Sequence[Mapping[str, Any]], plan: Plan, key: Key) -> list[bool]:
    """Say for each participant whether all attention checks were answered rightly.

    :param files: answers of the participants
    :param plan: the plan
    :param key: the key
    """
    checks = {one.name for one in plan.of_task("check")}
    return [
        sum(one["response"] == key.truths[one["question"]] for one in data["answers"]
            if one["question"] in checks) == len(checks)
        for data in files
    ]  # fmt: skip


def average_rows(values: Array) -> Array:
    """(P,) mean of each participant's values; NaN for one that has none."""
    known = ~np.isnan(values)
    counts, sums = known.sum(axis=1), np.where(known, values, 0.0).sum(axis=1)
    means: Array = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
    return means


def center_columns(values: Array) -> Array:
    """(P, I) values less the mean of their item over all participants."""
    centered: Array = values - average_rows(values.T)
    return centered
