"""``sb3-explain tree``: the whole policy of an agent as a decision tree."""

from __future__ import annotations

import argparse

from sb3_explain.cli.flags import add_agent_flags, add_result_flags, load_named_agent
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive
from sb3_explain.workflows.tree import distill
from sb3_explain.workflows.tree.teacher import WEIGHTS


def add_commands(commands: Commands) -> None:
    """Add the options of ``tree``."""
    agent = "--algo ppo --env LunarLander-v2 -f rl-trained-agents"
    sub = commands.add("tree", run_tree, f"{agent} -o out --max-leaves 32")
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("decision tree")
    group.add_argument("--max-leaves", type=positive, help="largest number of leaves (default: 32)")
    group.add_argument(
        "--weights", metavar="NAME",
        help=f"how much a state matters: {', '.join(WEIGHTS)} (default: {WEIGHTS[0]})",
    )  # fmt: skip
    group.add_argument(
        "--n-sums", type=not_negative,
        help="largest number of sums of features that it may ask for, too (default: 0)",
    )  # fmt: skip
    for name, what, default in (
        ("rounds", "number of rounds, each of which fits a tree and lets it play", 10),
        ("episodes", "number of episodes of a round", 10),
        ("evaluated", "number of fresh episodes in which the tree and the agent are measured", 50),
    ):
        group.add_argument(f"--n-{name}", type=positive, help=f"{what} (default: {default})")
    group.add_argument(
        "--max-steps", type=positive,
        help="largest number of steps of an episode (default: no limit)",
    )  # fmt: skip


def run_tree(options: argparse.Namespace) -> None:
    """``sb3-explain tree``"""
    chosen = pick_given(
        options, "max_leaves", "n_sums", "weights", "n_rounds", "n_episodes", "n_evaluated",
        "max_steps", "seed", "progress",
    )  # fmt: skip
    tree = distill(load_named_agent(options), **chosen)
    print(tree)
    say_end(tree.save(options.output), "diagnose", "-o", str(options.output))
