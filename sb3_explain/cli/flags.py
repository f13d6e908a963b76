"""Flags that several commands share, and what is read from them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.policies import ALGORITHMS
from sb3_explain.cli.parsing import Parser, not_negative, pick_given, positive, read_key_values

#: how examples name an agent
ZOO_AGENT = "--algo ppo --env PongNoFrameskip-v4 -f rl-trained-agents"


def add_agent_flags(sub: Parser, *, required: bool = True) -> None:
    """Which agent: the zoo's own flags."""
    group = sub.add_argument_group("agent")
    group.add_argument("--algo", required=required, help=f"one of {', '.join(ALGORITHMS)}, her")
    group.add_argument("--env", required=required, help="gymnasium id")
    group.add_argument("-f", "--folder", default="logs", help="the zoo's folder, or a zip")
    group.add_argument("--exp-id", type=int, default=0, help="number of the run; 0: the newest")
    group.add_argument("--load-best", action="store_true", help="best_model.zip")
    group.add_argument("--load-checkpoint", type=int, metavar="STEPS", help="after so many steps")
    group.add_argument("--load-last-checkpoint", action="store_true")
    group.add_argument("-orga", "--organization", help="download the agent from the Hub")
    group.add_argument("--revision", help="branch, tag or commit on the Hub")
    group.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    group.add_argument(
        "--env-kwargs", nargs="+", default=[], metavar="KEY:VALUE", help="of the environment"
    )
    group.add_argument(
        "--trust", nargs="+", default=[], metavar="PACKAGE", help="packages that wrappers come from"
    )


def load_named_agent(options: argparse.Namespace) -> Agent:
    """The agent that the flags name."""
    return load_agent(options.algo, options.env, **loading_options(options))


def loading_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.load_agent` besides algorithm and environment."""
    names = (
        "folder", "exp_id", "load_best", "load_checkpoint", "load_last_checkpoint", "organization",
        "revision", "device",
    )  # fmt: skip
    return {
        **{name: getattr(options, name) for name in names},
        "env_kwargs": read_key_values(options.env_kwargs, "--env-kwargs"),
        "trusted": options.trust,
    }


def add_result_flags(sub: Parser, *, seed: bool = True) -> None:
    """Where results go, and how they come about.

    :param seed: whether there is one
    """
    if seed:
        sub.add_argument("--seed", type=not_negative, default=0, help="of all chance (default: 0)")
    sub.add_argument("-o", "--output", type=Path, required=True, help="folder for all results")
    sub.add_argument(
        "-P", "--progress", action=argparse.BooleanOptionalAction, default=True,
        help="show bars (default: yes)",
    )  # fmt: skip


def add_measuring_flags(sub: Parser) -> None:
    """What is measured, on how much."""
    sub.add_argument("--n-evaluated", type=positive, default=300, help="test states to measure on")
    sub.add_argument("--metrics", nargs="+", metavar="NAME", help="default: all")


def add_training_flags(sub: Parser) -> None:
    """How a network is trained; what is not given keeps its default."""
    group = sub.add_argument_group("training")
    group.add_argument("--epochs", type=int)
    group.add_argument("--batch-size", type=int)
    group.add_argument("--learning-rate", type=float)
    group.add_argument("--precision", help="auto, bf16 or no")
    group.add_argument(
        "--training", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other option of training, for example patience:3",
    )  # fmt: skip


def training_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Options of the training loop."""
    chosen = pick_given(options, "epochs", "batch_size", "learning_rate", "precision")
    more = read_key_values(options.training, "--training")
    return {**chosen, **more, "progress": options.progress}
