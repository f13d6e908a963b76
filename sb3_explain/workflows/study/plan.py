"""The plan of a study, which its answers belong to, and the key, which no participant sees."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json, write_text
from sb3_explain.common.schema import (
    anything,
    array,
    exactly,
    one_of,
    optional,
    read_document,
    record,
    table,
    text,
    whole,
)
from sb3_explain.common.untrusted import max_bytes, quote, read_bounded

Design = Literal["within", "between"]
DESIGNS: tuple[Design, ...] = ("within", "between")
#: arms that no explainer stands for: nothing, and the two placebos
NO_MAP, RANDOM_MAP, RANDOMIZED_AGENT = "no_map", "random_map", "randomized_agent"
PLACEBOS = (RANDOM_MAP, RANDOMIZED_AGENT)
TASKS = ("predict", "region", "opinion", "agent", "check")
#: answers to questions of opinion, and to which agent it is
YES_NO, AGENTS = ("yes", "no"), ("agent X", "agent Y")
#: folder and files of a study in an output folder
FOLDER, PLAN, KEY, PAGE = "study", "plan.json", "key.csv", "study.html"
REMEDY = "export the study again, or take the copy that belongs to its answers"


@dataclasses.dataclass(frozen=True)
class Question:
    """A question of a study, without its answer.

    :param name: name of the question, such as ``"predict-3"``
    :param task: one of :data:`TASKS`
    :param options: words of the possible answers
    :param arms: letter of each group's arm; ``None`` for a group that is not asked
    :param state: where its state comes from
    """

    name: str
    task: str
    options: tuple[str, ...]
    arms: tuple[str | None, ...]
    state: Mapping[str, int] | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a study asks whom.

    :param title: title of the page
    :param design: ``"within"`` or ``"between"`` participants
    :param letters: letters of the arms
    :param questions: all questions
    :param facts: plain data on the agents, explainers, placebos and seeds
    """

    title: str
    design: Design
    letters: tuple[str, ...]
    questions: tuple[Question, ...]
    facts: Mapping[str, Any]

    @property
    def groups(self) -> int:
        """Number of groups of participants: one for each arm."""
        return len(self.letters)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        questions = [dataclasses.asdict(one) for one in self.questions]
        plain = {"format": 1, "title": self.title, "design": self.design}
        plain |= {"letters": self.letters, "questions": questions, "facts": self.facts}
        known: dict[str, Any] = json.loads(json.dumps(plain))
        return known

    @functools.cached_property
    def study(self) -> str:
        """Hash of the plan, which tells its answers from those of another."""
        content = json.dumps(self.to_dict(), sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()[:16]

    def of_task(self, task: str) -> list[Question]:
        """List the questions of a task."""
        return [one for one in self.questions if one.task == task]


@dataclasses.dataclass(frozen=True)
class Key:
    """What participants must not know.

    :param arms: name of each arm by its letter
    :param truths: number of the right option by the name of the question
    """

    arms: Mapping[str, str]
    truths: Mapping[str, int]


def assign_arms(
    letters: Sequence[str], number: int, design: Design, skipped: str = ""
) -> tuple[str | None, ...]:
    """Assign an arm to each group for one question.

    Within participants, group g has arm (i + g) mod A for question i, so that each arm is shown in
    each state equally often, and each participant sees all arms. Between them, group g has arm g.

    >>> from sb3_explain.workflows.study.plan import assign_arms
    >>> assign_arms("ABC", 1, "within"), assign_arms("ABC", 1, "between")
    (('B', 'C', 'A'), ('A', 'B', 'C'))

    :param letters: letters of the A arms
    :param number: number i of the question
    :param design: ``"within"`` or ``"between"``
    :param skipped: letter of an arm that is not asked
    """
    shift = number if design == "within" else 0
    given = (letters[(shift + group) % len(letters)] for group in range(len(letters)))
    return tuple(None if letter == skipped else letter for letter in given)


_QUESTION = record(
    {
        "name": text(100),
        "task": one_of(*TASKS),
        "options": array(text(1000), 1, 1000),
        "arms": array(optional(text(10)), 1, 1000),
        "state": optional(table(whole(), 10)),
    }
)
_FORM = record(
    {
        "format": exactly(1),
        "study": text(64),
        "title": text(1000),
        "design": one_of(*DESIGNS),
        "letters": array(text(10), 2, 1000),
        "questions": array(_QUESTION, 1, 10_000),
        "facts": anything,
    }
)


def write_plan(folder: Path, plan: Plan, key: Key) -> None:
    """Write the plan and the key into a folder."""
    write_json(folder / PLAN, {"study": plan.study, **plan.to_dict()})
    rows: list[tuple[str, str, str, Any, str]] = [("study", "kind", "name", "value", "words")]
    rows += [(plan.study, "arm", letter, name, "") for letter, name in key.arms.items()]
    options = {one.name: one.options for one in plan.questions}
    rows += [
        (plan.study, "answer", name, truth, options[name][truth])
        for name, truth in key.truths.items()
    ]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    write_text(folder / KEY, written.getvalue())


def read_plan(folder: Path) -> tuple[Plan, Key]:
    """Read the plan and the key of a study.

    :param folder: output folder of ``export_study``
    :raises ExplainError: if a file is missing, damaged, or of another study
    """
    path = folder / FOLDER / PLAN
    if not path.exists():
        raise ExplainError(f"{folder} holds no study: export one first (sb3-explain study export)")
    data = read_document(path, _FORM, REMEDY)
    questions = tuple(
        Question(one["name"], one["task"], tuple(one["options"]), tuple(one["arms"]), one["state"])
        for one in data["questions"]
    )
    plan = Plan(data["title"], data["design"], tuple(data["letters"]), questions, data["facts"])
    fitting = all(
        len(one.arms) == plan.groups and set(one.arms) <= {*plan.letters, None} for one in questions
    )
    if plan.study != data["study"] or not fitting:
        raise ExplainError(f"{path} was changed after the export: {REMEDY}")
    return plan, read_key(folder / FOLDER / KEY, plan)


def read_key(path: Path, plan: Plan) -> Key:
    """Read the key of a plan.

    :raises ExplainError: if it is damaged, or the key of another plan
    """
    content = read_bounded(path, max_bytes()).decode("utf-8", "replace")
    arms: dict[str, str] = {}
    truths: dict[str, int] = {}
    options = {one.name: len(one.options) for one in plan.questions}
    for row in list(csv.reader(io.StringIO(content)))[1:]:
        if len(row) != 5 or row[1] not in ("arm", "answer"):
            raise ExplainError(f"{path} is damaged ({quote(','.join(row))}): {REMEDY}")
        study, kind, name, value, _ = row
        if study != plan.study:
            raise ExplainError(f"{path} is the key of another study: {REMEDY}")
        if kind == "arm":
            arms[name] = value
        elif value.isdecimal() and name in options and int(value) < options[name]:
            truths[name] = int(value)
        else:
            raise ExplainError(f"{path} is damaged ({quote(','.join(row))}): {REMEDY}")
    asked = {one.name for one in plan.questions if one.task != "opinion"}
    if set(arms) != set(plan.letters) or set(truths) != asked:
        raise ExplainError(f"{path} is damaged (it has not all arms and answers): {REMEDY}")
    return Key(arms, truths)
