"""``sb3-explain probe``: a search for states of interest."""

from __future__ import annotations

import argparse
from typing import Any

from sb3_explain.agents.native import color_agent
from sb3_explain.agents.targets.energies import TARGETS
from sb3_explain.cli.flags import (
    ZOO_AGENT,
    add_agent_flags,
    add_result_flags,
    add_training_flags,
    load_named_agent,
    training_settings,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive, read_key_values
from sb3_explain.probing.codecs import CODECS
from sb3_explain.probing.prior import NORMAL, STATES
from sb3_explain.workflows.weaknesses import find_weaknesses


def add_commands(commands: Commands) -> None:
    """Add the options of ``probe``."""
    sub = commands.add(
        "probe",
        run_probe,
        f"{ZOO_AGENT} --targets all -o out",
    )
    add_agent_flags(sub)
    add_result_flags(sub)
    sub.add_argument(
        "-n",
        "--n-states",
        type=positive,
        default=10_000,
        help="number of states that the generator is trained on (default: 10000)",
    )
    group = sub.add_argument_group("search")
    group.add_argument(
        "--targets", nargs="+", default=["all"], metavar="NAME",
        help="what to search for: all (default), action:NAME, any of "
        f"{', '.join(name for name in TARGETS if name != 'action')}, or what --target of other "
        "commands takes, which is high in the states that are found",
    )  # fmt: skip
    group.add_argument(
        "--samples",
        type=positive,
        default=64,
        help="number of states generated for each target (default: 64)",
    )
    group.add_argument("--steps", type=positive, help="number of search steps (default: 200)")
    group.add_argument(
        "--prior",
        choices=[STATES, NORMAL],
        help="distribution that latent codes should follow (default: states)",
    )
    group.add_argument(
        "--prior-weight", type=float, help="weight of that distribution in the search"
    )
    group.add_argument(
        "--other",
        metavar="FOLDER",
        help="rl-zoo3's folder, or a zip, of a second agent to compare with",
    )
    group.add_argument("--other-algo", help="algorithm of the second agent (default: --algo)")
    group = sub.add_argument_group("generator")
    group.add_argument(
        "--latent", type=positive, help="number of dimensions of a latent code (default: 100)"
    )
    group.add_argument(
        "--codec", help=f"encoder and decoder: {', '.join(CODECS)} (default: compact)"
    )
    group.add_argument(
        "--weighting",
        help="weights of the pixels in the loss: saliency (default), uniform, or an "
        "explainer's name",
    )
    group.add_argument(
        "--generator", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other setting, for example lambda_agent:0 lambda_kl:0.001",
    )  # fmt: skip
    group.add_argument(
        "--color", action="store_true", help="generate color frames of an Atari game"
    )
    group = sub.add_argument_group("page")
    group.add_argument(
        "--goggles", type=not_negative, default=0, metavar="EPISODES",
        help="number of episodes to play on reconstructed observations (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--no-maps", action="store_true", help="fit no VisionMask to show saliency maps"
    )
    group.add_argument(
        "--visionmask",
        nargs="+",
        default=[],
        metavar="KEY:VALUE",
        help="settings of VisionMask, for example max_area:0.1",
    )
    add_training_flags(sub)


def run_probe(options: argparse.Namespace) -> None:
    """``sb3-explain probe``"""
    agent, other = load_named_agent(options), None
    if options.other is not None:
        others = {"folder": options.other, "algo": options.other_algo or options.algo}
        other = load_named_agent(argparse.Namespace(**{**vars(options), **others}))
    if options.color:
        agent, other = color_agent(agent), other and color_agent(other)
    page = find_weaknesses(agent, options.output, other=other, **probing_options(options))
    say_end(page, "highlights", "-o", str(options.output))


def probing_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.find_weaknesses` in the flags."""
    generator = pick_given(options, "latent", "codec", "weighting")
    return {
        "targets": options.targets,
        "n_states": options.n_states,
        "n_samples": options.samples,
        "n_episodes": options.goggles,
        "attributions": not options.no_maps,
        "generator_kwargs": {**generator, **read_key_values(options.generator, "--generator")},
        "fit_kwargs": {**training_settings(options), "progress": options.progress},
        "probe_kwargs": pick_given(options, "steps", "prior", "prior_weight"),
        "explainer_kwargs": read_key_values(options.visionmask, "--visionmask"),
        "seed": options.seed,
        "progress": options.progress,
    }
