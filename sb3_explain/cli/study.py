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
from sb3_explain.cli.parsing import Commands, Parser, not_negative, pick_given, positive, share
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.make import make_explainer
from sb3_explain.workflows.chosen_explainers import list_fitted
from sb3_explain.workflows.study import analyze_study, export_study, study_power
from sb3_explain.workflows.study.plan import DESIGNS, FOLDER, KEY


def add_commands(commands: Commands) -> None:
    """Add the options of ``study``: a parser for each step."""
    sub = commands.add(
        "study",
        run_export,
        "export -o out --explainer visionmask\n  sb3-explain study analyse -o out answers/*.json"
        "\n  sb3-explain study power --participants 60 --n-states 9 --effect 0.15",
    )
    steps = sub.add_subparsers(required=True, metavar="STEP", parser_class=Parser)
    add_export(steps.add_parser("export", help="write the page, the plan and the key"))
    add_analyze(
        steps.add_parser(
            "analyse", aliases=["analyze"], help="analyze the answers, and write a page"
        )
    )
    add_power(steps.add_parser("power", help="simulate how often a study finds an effect"))


def add_export(sub: Parser) -> None:
    """Add the options of ``study export``."""
    sub.set_defaults(command=run_export, parser=sub)
    add_agent_flags(sub)
    add_result_flags(sub)
    add_study_flags(sub)
    page = sub.add_argument_group("page")
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


def add_analyze(sub: Parser) -> None:
    """Add the options of ``study analyse``."""
    sub.set_defaults(command=run_analyze, parser=sub, needs={"output": "-o"})
    sub.add_argument(
        "answers", nargs="+", type=Path, metavar="FILE",
        help="files that participants saved, or a folder of them",
    )  # fmt: skip
    add_result_flags(sub)
    sub.add_argument(
        "--keep-failed", action="store_true",
        help="count participants who failed an attention check, too",
    )  # fmt: skip


def add_power(sub: Parser) -> None:
    """Add the options of ``study power``."""
    sub.set_defaults(command=run_power, parser=sub)
    add_study_flags(sub)
    sub.add_argument(
        "--participants", type=positive, required=True, metavar="N", help="number of participants"
    )
    sub.add_argument(
        "--effect", type=float, default=0.15,
        help="probability by which the map makes more predictions right (default: 0.15)",
    )  # fmt: skip
    sub.add_argument("--n-arms", type=positive, default=4, help="number of arms (default: 4)")
    sub.add_argument(
        "--accuracy", type=share, default=0.5,
        help="probability of a right prediction without a map (default: 0.5)",
    )  # fmt: skip
    sub.add_argument("--seed", type=not_negative, default=0, help="random seed (default: 0)")


def add_study_flags(sub: Parser) -> None:
    """Add the flags of what is asked whom."""
    sub.add_argument(
        "--n-states", type=positive, default=9,
        help="number of states whose action is to be predicted (default: 9)",
    )  # fmt: skip
    sub.add_argument(
        "--design", default="within",
        help=f"{' or '.join(DESIGNS)} participants (default: within)",
    )  # fmt: skip


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
