"""``sb3-explain study``: a study of people, from the page that asks them to what they answered."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_explain.cli.flags import (
    add_agent_flags,
    add_result_flags,
    load_agent_of_folder,
    load_named_agent,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.make import make_explainer
from sb3_explain.workflows.chosen_explainers import list_fitted
from sb3_explain.workflows.study import analyze_study, export_study, study_power
from sb3_explain.workflows.study.plan import DESIGNS, FOLDER, KEY


def add_commands(commands: Commands) -> None:
    """Add the options of ``study``."""
    sub = commands.add(
        "study",
        run_study,
        "export -o out --explainer visionmask\n  sb3-explain study analyse -o out answers/*.json"
        "\n  sb3-explain study power --participants 60 --n-states 9 --effect 0.15",
    )
    sub.add_argument("step", choices=STEPS, help="what to do")
    sub.add_argument(
        "answers", nargs="*", type=Path, metavar="FILE",
        help="of analyse: files that participants saved, or a folder of them",
    )  # fmt: skip
    add_agent_flags(sub)
    add_result_flags(sub)
    asked = sub.add_argument_group("export and power")
    asked.add_argument(
        "--n-states", type=positive, default=9,
        help="number of states whose action is to be predicted (default: 9)",
    )  # fmt: skip
    asked.add_argument(
        "--design", default="within",
        help=f"{' or '.join(DESIGNS)} participants (default: within)",
    )  # fmt: skip
    page = sub.add_argument_group("export")
    page.add_argument(
        "--explainer", nargs="+", metavar="NAME",
        help="explainers whose maps are shown; those that learn must be in the output folder "
        "(default: those that are, or one that needs no fit)",
    )  # fmt: skip
    page.add_argument(
        "--other", type=Path, metavar="FOLDER",
        help="output folder of another agent, to ask which of the two acts",
    )  # fmt: skip
    page.add_argument(
        "--n-opinions", type=not_negative,
        help="number of states of the question whether the map helps (default: as many)",
    )  # fmt: skip
    page.add_argument(
        "--words", nargs="+", metavar="ACTION:WORDS",
        help="words for actions; those of the same words are one answer, for example RIGHT:up",
    )  # fmt: skip
    page.add_argument("--title", help="title of the page (default: the agent's)")
    page.add_argument("--about", metavar="TEXT", help="what participants should know of the game")
    page.add_argument("--post", metavar="URL", help="address that the page sends answers to, too")
    page.add_argument(
        "--n-played", type=positive, default=2000,
        help="number of states to play where the folder has none (default: 2000)",
    )  # fmt: skip
    analyzed = sub.add_argument_group("analyse")
    analyzed.add_argument(
        "--keep-failed", action="store_true",
        help="count participants who failed an attention check, too",
    )  # fmt: skip
    simulated = sub.add_argument_group("power")
    simulated.add_argument("--participants", type=positive, metavar="N", help="number of them")
    simulated.add_argument(
        "--effect", type=float, default=0.15,
        help="probability by which the map makes more predictions right (default: 0.15)",
    )  # fmt: skip
    simulated.add_argument("--n-arms", type=positive, default=4, help="number of arms (default: 4)")
    simulated.add_argument(
        "--accuracy", type=float, default=0.5,
        help="probability of a right prediction without a map (default: 0.5)",
    )  # fmt: skip


def run_study(options: argparse.Namespace) -> None:
    """``sb3-explain study``"""
    if options.answers and options.step not in ANALYZE:
        raise ExplainError(f"{options.answers[0]}: only analyse takes files of answers")
    STEPS[options.step](options)


def run_export(options: argparse.Namespace) -> None:
    """``sb3-explain study export``"""
    chosen: dict[str, Any] = pick_given(
        options, "n_states", "n_opinions", "design", "title", "about", "post", "n_played", "seed",
        "progress",
    )  # fmt: skip
    agent = load_named_agent(options)
    if options.other is not None:
        other = load_agent_of_folder(options, options.other)
        fitted = {
            name: make_explainer(name, other, folder=options.other / name)
            for name in list_fitted(options.other)
        }
        chosen |= {"other": other, "other_explainers": fitted}
    study = export_study(
        agent, options.output, options.explainer, words=read_words(options.words or []), **chosen
    )
    print(study)
    print(f"the answers are in {options.output / FOLDER / KEY}: give participants the page alone")
    say_end(study.page, "study", "analyse", "-o", str(options.output), "answers")


def run_analyze(options: argparse.Namespace) -> None:
    """``sb3-explain study analyse``"""
    results = analyze_study(
        options.output, options.answers, keep_failed=options.keep_failed, seed=options.seed
    )
    print(results)
    say_end(results.save(options.output / FOLDER))


def run_power(options: argparse.Namespace) -> None:
    """``sb3-explain study power``"""
    if options.participants is None:
        raise ExplainError("give --participants, the number of them")
    print(
        study_power(
            options.participants, options.n_states, options.effect, n_arms=options.n_arms,
            design=options.design, accuracy=options.accuracy, seed=options.seed,
        )
    )  # fmt: skip


def read_words(pairs: Sequence[str]) -> dict[str, str]:
    """Read words for actions, such as ``["RIGHT:up"]``.

    :raises ExplainError: if a text is no such pair
    """
    read = {}
    for pair in pairs:
        action, colon, words = pair.partition(":")
        if not colon or not words:
            raise ExplainError(f"--words {pair!r}: give ACTION:WORDS, for example RIGHT:up")
        read[action] = words
    return read


#: names of the step that analyzes, in both spellings
ANALYZE = ("analyse", "analyze")
#: what each step runs
STEPS = {"export": run_export, **dict.fromkeys(ANALYZE, run_analyze), "power": run_power}
