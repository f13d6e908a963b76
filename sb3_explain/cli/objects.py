"""``sb3-explain objects``: how much of the maps lies on the objects of a game, and rightly so."""

from __future__ import annotations

import argparse

from sb3_explain.cli.flags import ZOO_AGENT, add_agent_flags, add_result_flags, load_named_agent
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive
from sb3_explain.workflows.objects import OBJECTS, report_objects


def add_commands(commands: Commands) -> None:
    """Add the options of ``objects``."""
    sub = commands.add("objects", run_objects, f"{ZOO_AGENT} -o out")
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("objects of an Atari game")
    group.add_argument(
        "--explainers", nargs="+", metavar="NAME",
        help="explainers that need no fit (default: those of a page, and random maps)",
    )  # fmt: skip
    group.add_argument("-n", "--n-states", type=positive, help="number of states (default: 24)")
    group.add_argument(
        "--every", type=positive, help="number of steps between two of them (default: 31)"
    )
    group.add_argument(
        "--n-steps", type=not_negative,
        help="number of steps that are played on without an object, where that is known (default: "
        "60)",
    )  # fmt: skip


def run_objects(options: argparse.Namespace) -> None:
    """``sb3-explain objects``"""
    chosen = pick_given(options, "explainers", "n_states", "every", "n_steps", "seed")
    found = report_objects(load_named_agent(options), **chosen)
    print(found)
    say_end(found.save(options.output / OBJECTS), "explain", "-o", str(options.output))
