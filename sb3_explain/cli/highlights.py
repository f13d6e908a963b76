"""``sb3-explain highlights``: a video of an agent's most important states."""

from __future__ import annotations

import argparse

from sb3_explain.cli.flags import (
    ZOO_AGENT,
    add_agent_flags,
    add_result_flags,
    add_target_flag,
    load_named_agent,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive, share
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.highlights import highlights
from sb3_explain.workflows.importances import NAMES
from sb3_explain.workflows.suggested_state import suggest_state_of
from sb3_explain.workflows.whole_episodes import EPISODES, describe_episodes


def add_commands(commands: Commands) -> None:
    """Add the options of ``highlights``."""
    sub = commands.add(
        "highlights",
        run_highlights,
        f"{ZOO_AGENT} -o out",
    )
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("highlights")
    group.add_argument("-k", type=positive, default=5, help="number of highlights (default: 5)")
    group.add_argument(
        "-n",
        "--n-states",
        type=positive,
        default=10_000,
        help="number of states to play (default: 10000)",
    )
    group.add_argument(
        "--before",
        type=not_negative,
        default=30,
        help="number of states shown before each highlight (default: 30)",
    )
    group.add_argument(
        "--after",
        type=not_negative,
        default=10,
        help="number of states shown after each highlight (default: 10)",
    )
    group.add_argument(
        "--diversity", type=share,
        help="share of all pairs of states that are more alike than two highlights may be "
        "(default: 0.1; 0 with --importance before_failure)",
    )  # fmt: skip
    group.add_argument(
        "--importance", metavar="NAME",
        help=f"measure of importance: {', '.join(NAMES)} (default: gap, or value_change for "
        "continuous actions); critical is that of `sb3-explain critical` in the output folder",
    )  # fmt: skip
    add_target_flag(sub)
    group.add_argument(
        "--explainer",
        help="explainer whose maps are shown; visionmask is the one in the output folder "
        "(default: integrated_gradients, or one that supports the agent)",
    )  # fmt: skip
    group.add_argument("--fps", type=float, default=15, help="states per second (default: 15)")


def run_highlights(options: argparse.Namespace) -> None:
    """``sb3-explain highlights``"""
    chosen = pick_given(
        options, "k", "n_states", "before", "after", "diversity", "importance", "explainer",
        "target", "fps", "seed", "progress",
    )  # fmt: skip
    found = highlights(load_named_agent(options), options.output, **chosen)
    if len(found) < options.k:
        print(f"only {len(found)} highlights differ: lower --diversity, or collect more (-n)")
    states = StateDataset.open(options.output / EPISODES)
    print(describe_episodes(states))
    for number, one in enumerate(found, start=1):
        print(f"{number}  {one}")
    for name in ("highlights.png", "highlights.json"):
        print(options.output / name)
    video, sheet = options.output / "highlights.mp4", options.output / "highlights.png"
    position, reason = suggest_state_of(states, found[0])
    asked = ("--states", EPISODES, "--state", str(position))
    say_end(
        video if video.exists() else sheet, "why", "-o", str(options.output), *asked,
        reason=f"state {position}: {reason}",
    )  # fmt: skip
