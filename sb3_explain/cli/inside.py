"""``sb3-explain inside``: what the layers of an agent know, and what excites their units."""

from __future__ import annotations

import argparse

from sb3_explain.cli.flags import (
    ZOO_AGENT,
    add_agent_flags,
    add_result_flags,
    add_states_flag,
    load_named_agent,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, pick_given, positive
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.inside import inside


def add_commands(commands: Commands) -> None:
    """Add the options of ``inside``."""
    sub = commands.add("inside", run_inside, f"{ZOO_AGENT} -o out")
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("layers")
    add_states_flag(group)
    group.add_argument(
        "--layers", nargs="+", metavar="NAME",
        help="names of layers, such as mlp_extractor.policy_net.1 (default: all innermost ones)",
    )  # fmt: skip
    group.add_argument(
        "--concepts", nargs="+", metavar="NAME",
        help="what layers are asked for: value, return to come, reward, entropy, step, or features "
        "(default: all that change)",
    )  # fmt: skip
    group.add_argument(
        "-n", "--n-states", type=positive,
        help="number of states that are looked at (default: 1500; 500 of pictures)",
    )  # fmt: skip
    group.add_argument(
        "--n-sheets", type=positive,
        help="number of units whose most exciting states are shown (default: 3)",
    )  # fmt: skip


def run_inside(options: argparse.Namespace) -> None:
    """``sb3-explain inside``"""
    agent = load_named_agent(options)
    states = StateDataset.open(options.output / options.states)
    chosen = pick_given(options, "layers", "concepts", "n_states", "n_sheets", "seed", "progress")
    found = inside(agent, states, **chosen)
    print(found)
    folder = found.save(options.output)
    say_end(folder / "layers.png", "diagnose", "-o", str(options.output))
