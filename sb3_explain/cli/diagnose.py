"""``sb3-explain diagnose``: what is wrong with an agent."""

from __future__ import annotations

import argparse

from sb3_explain.cli.flags import ZOO_AGENT, add_agent_flags, add_result_flags, load_named_agent
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, pick_given, positive
from sb3_explain.workflows.diagnosis import diagnose
from sb3_explain.workflows.diagnosis.findings import ORDER

#: folder of the states that it plays, which are drawn for no one
DIAGNOSED = "diagnosed"


def add_commands(commands: Commands) -> None:
    """Add the options of ``diagnose``."""
    sub = commands.add("diagnose", run_diagnose, f"{ZOO_AGENT} -o out")
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("diagnosis")
    group.add_argument(
        "--checks", nargs="+", metavar="NAME",
        help=f"checks to run: {', '.join(ORDER)} (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--irrelevant", nargs="+", metavar="NAME",
        help="names of features that should not matter to the agent",
    )  # fmt: skip
    group.add_argument(
        "-n", "--n-states", type=positive,
        help="number of states to play (default: 4000; 1500 of pictures)",
    )  # fmt: skip
    group.add_argument(
        "--n-episodes", type=positive,
        help="number of episodes of a trial (default: 12; 8 of pictures)",
    )  # fmt: skip
    group.add_argument(
        "--max-steps", type=positive,
        help="largest number of steps of an episode of a trial (default: 500; 250 of pictures)",
    )  # fmt: skip


def run_diagnose(options: argparse.Namespace) -> None:
    """``sb3-explain diagnose``"""
    chosen = pick_given(
        options, "checks", "irrelevant", "n_states", "n_episodes", "max_steps", "seed", "progress"
    )
    report = diagnose(load_named_agent(options), folder=options.output / DIAGNOSED, **chosen)
    print(report)
    say_end(report.save(options.output), "highlights", "-o", str(options.output))
