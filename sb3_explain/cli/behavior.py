"""``sb3-explain behavior``: a map of what an agent does."""

from __future__ import annotations

import argparse
import functools

from sb3_explain.cli.flags import add_agent_flags, add_result_flags, load_named_agent
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, pick_given, positive, read_number
from sb3_explain.common.errors import require_known
from sb3_explain.workflows.behavior import behavior_map
from sb3_explain.workflows.behavior.clustering import EMBEDDINGS, FEWEST, MOST
from sb3_explain.workflows.whole_episodes import EPISODES, play_whole_episodes


def add_commands(commands: Commands) -> None:
    """Add the options of ``behavior``."""
    agent = "--algo ppo --env LunarLander-v2 -f rl-trained-agents"
    sub = commands.add("behavior", run_behavior, f"{agent} -o out")
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("behavior map")
    group.add_argument(
        "-n", "--n-states", type=positive, default=5000,
        help="number of states to play, in whole episodes (default: 5000)",
    )  # fmt: skip
    group.add_argument(
        "--layer", metavar="NAME",
        help="layer that says how alike states are, such as mlp_extractor.policy_net.1 (default: "
        "the inputs of the last one)",
    )  # fmt: skip
    group.add_argument(
        "--n-clusters", type=functools.partial(read_number, FEWEST, maximum=MOST),
        help="number of clusters (default: that of 4 to 10 with the highest mean silhouette)",
    )  # fmt: skip
    group.add_argument(
        "--embedding", choices=EMBEDDINGS,
        help=f"how states are placed in the picture: {' or '.join(EMBEDDINGS)} (default: "
        f"{EMBEDDINGS[0]})",
    )  # fmt: skip
    group.add_argument(
        "--failed-below", type=float, metavar="RETURN",
        help="return below which an episode has failed (default: the middle between the worst and "
        "the best)",
    )  # fmt: skip
    group.add_argument(
        "--n-examples", type=positive,
        help="number of typical states of each cluster (default: 6)",
    )  # fmt: skip


def run_behavior(options: argparse.Namespace) -> None:
    """``sb3-explain behavior``"""
    chosen = pick_given(
        options, "layer", "n_clusters", "embedding", "failed_below", "n_examples", "seed"
    )
    agent = load_named_agent(options)
    require_known("layer", [] if options.layer is None else [options.layer], agent.layers)
    states = play_whole_episodes(
        agent, options.output / EPISODES, options.n_states, seed=options.seed,
        progress=options.progress,
    )  # fmt: skip
    found = behavior_map(agent, states, **chosen)
    print(found)
    say_end(found.save(options.output), "highlights", "-o", str(options.output))
