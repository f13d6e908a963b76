"""Flags that several commands share, and functions that read them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.algorithms import ALGORITHMS
from sb3_explain.cli.parsing import Parser, not_negative, pick_given, positive, read_key_values

#: flags that name an agent in the examples of the help
ZOO_AGENT = "--algo ppo --env PongNoFrameskip-v4 -f rl-trained-agents"


def add_agent_flags(sub: Parser, *, required: bool = True) -> None:
    """Add the flags that name an agent, as in rl-zoo3."""
    group = sub.add_argument_group("agent")
    group.add_argument("--algo", required=required, help=f"algorithm: {', '.join(ALGORITHMS)}, her")
    group.add_argument("--env", required=required, help="gymnasium id of the environment")
    group.add_argument(
        "-f",
        "--folder",
        default="logs",
        help="rl-zoo3's folder of agents, any folder with a model, or a zip (default: logs)",
    )
    group.add_argument(
        "--exp-id", type=int, default=0, help="number of the run; 0 for the newest (default: 0)"
    )
    group.add_argument("--load-best", action="store_true", help="load best_model.zip")
    group.add_argument(
        "--load-checkpoint",
        type=int,
        metavar="STEPS",
        help="load the checkpoint after this number of steps",
    )
    group.add_argument(
        "--load-last-checkpoint",
        action="store_true",
        help="load the checkpoint after the most steps",
    )
    group.add_argument(
        "-orga", "--organization", help="download the agent of this organization from the Hub"
    )
    group.add_argument("--revision", help="branch, tag or commit of the agent on the Hub")
    group.add_argument(
        "--device", default="cpu", help="device of the agent: cpu, cuda or auto (default: cpu)"
    )
    group.add_argument(
        "--env-kwargs",
        nargs="+",
        default=[],
        metavar="KEY:VALUE",
        help="arguments of the environment",
    )
    group.add_argument(
        "--gym-packages",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="modules that register the environment; they are imported",
    )
    group.add_argument(
        "--vec-normalize",
        metavar="FILE",
        help="statistics of VecNormalize, in place of those beside the agent; no: use none",
    )
    group.add_argument(
        "--trust",
        nargs="+",
        default=[],
        metavar="NAME",
        help="packages, modules or wrappers that the agent's files may import, or arguments that "
        "they may give its environment (env_kwargs.NAME); an error shows which one is meant",
    )


def load_named_agent(options: argparse.Namespace) -> Agent:
    """Load the agent that the flags name."""
    return load_agent(options.algo, options.env, **loading_options(options))


def loading_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.load_agent` but algorithm and environment."""
    names = (
        "folder", "exp_id", "load_best", "load_checkpoint", "load_last_checkpoint", "organization",
        "revision", "device",
    )  # fmt: skip
    return {
        **{name: getattr(options, name) for name in names},
        "env_kwargs": read_key_values(options.env_kwargs, "--env-kwargs"),
        "vec_normalize": False if options.vec_normalize == "no" else options.vec_normalize,
        "trusted": options.trust,
        "gym_packages": options.gym_packages,
    }


def add_result_flags(sub: Parser, *, seed: bool = True) -> None:
    """Add the flags of the output folder, the random seed and the progress bars.

    :param sub: parser of the command
    :param seed: whether the command has a random seed
    """
    if seed:
        sub.add_argument("--seed", type=not_negative, default=0, help="random seed (default: 0)")
    sub.add_argument("-o", "--output", type=Path, required=True, help="folder of all results")
    sub.add_argument(
        "-P", "--progress", action=argparse.BooleanOptionalAction, default=True,
        help="show progress bars (default: yes)",
    )  # fmt: skip


def add_measuring_flags(sub: Parser) -> None:
    """Add the flags of the metrics and of the number of states to measure."""
    sub.add_argument(
        "--n-evaluated",
        type=positive,
        default=300,
        help="number of test states to measure (default: 300)",
    )
    sub.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="names of the metrics (default: all)"
    )


def add_training_flags(sub: Parser) -> None:
    """Add the flags of training a network, whose defaults are those of the network."""
    group = sub.add_argument_group("training")
    group.add_argument("--epochs", type=int, help="largest number of passes over the states")
    group.add_argument("--batch-size", type=int, help="number of states in a training step")
    group.add_argument("--learning-rate", type=float, help="peak of the learning rate")
    group.add_argument("--precision", help="auto (bfloat16 if the device supports it), bf16 or no")
    group.add_argument(
        "--training", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other option of training, for example patience:3",
    )  # fmt: skip


def training_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Options of the training loop in the flags, by name."""
    chosen = pick_given(options, "epochs", "batch_size", "learning_rate", "precision")
    more = read_key_values(options.training, "--training")
    return {**chosen, **more, "progress": options.progress}
