"""``sb3-explain outcomes``: what would have happened with another action at a step."""

from __future__ import annotations

import argparse

from sb3_explain.cli.flags import add_agent_flags, add_result_flags, load_named_agent
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive
from sb3_explain.workflows.outcomes import outcomes


def add_commands(commands: Commands) -> None:
    """Add the options of ``outcomes``."""
    agent = "--algo ppo --env LunarLander-v2 -f rl-trained-agents"
    sub = commands.add(
        "outcomes", run_outcomes, f"{agent} -o out --step 220 --actions left",
        needs={"step": "--step"},
    )  # fmt: skip
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("counterfactual outcomes")
    group.add_argument("--step", type=not_negative, help="number of the step, from 0")
    group.add_argument(
        "--actions", nargs="+", metavar="ACTION",
        help="names or indices of actions that are compared with the agent's own, or numbers of a "
        "continuous one, such as 0,1 (default: the action of the next highest score)",
    )  # fmt: skip
    group.add_argument(
        "--episode", type=not_negative, help="number of the episode, from 0 (default: 0)"
    )
    group.add_argument(
        "--n-continuations", type=positive,
        help="number of continuations of each action, where anything is random (default: 20)",
    )  # fmt: skip
    group.add_argument(
        "--max-steps", type=positive,
        help="largest number of steps after the step (default: to the end of the episode)",
    )  # fmt: skip
    group.add_argument(
        "--no-render", dest="render", action="store_false", default=None,
        help="draw no frames, and write no video",
    )  # fmt: skip


def run_outcomes(options: argparse.Namespace) -> None:
    """``sb3-explain outcomes``"""
    chosen = pick_given(options, "episode", "n_continuations", "max_steps", "seed", "progress")
    actions = None if options.actions is None else [read(text) for text in options.actions]
    agent = load_named_agent(options)
    found = outcomes(agent, options.step, actions, render=options.render, **chosen)
    print(found)
    folder = options.output / "outcomes"
    say_end(found.save(folder), "highlights", "-o", str(options.output))


def read(text: str) -> str | int | list[float]:
    """Read an action: a name, an index, or numbers with commas between them."""
    if text.isdecimal():
        return int(text)
    try:
        return [float(part) for part in text.split(",")] if "," in text else text
    except ValueError:
        return text
