"""Flags that several commands share, and functions that read them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.demo import demo_agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.algorithms import ALGORITHMS
from sb3_explain.cli.agent_file import AGAIN, DEFAULTS, complete_flags, is_of_demo
from sb3_explain.cli.parsing import Parser, not_negative, pick_given, positive, read_key_values
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.workflows.agent_file import NAME as AGENT_FILE
from sb3_explain.workflows.whole_episodes import EPISODES

#: folder of the states that `explain` and `collect` keep
STATES = "states"
#: flags that name an agent in the examples of the help
ZOO_AGENT = "--algo ppo --env PongNoFrameskip-v4 -f rl-trained-agents"


def add_agent_flags(sub: Parser) -> None:
    """Add the flags that name an agent, as in rl-zoo3; ``complete_flags`` knows their defaults."""
    group = sub.add_argument_group(
        "agent", "without --algo and --env, the agent of the folder that -o names"
    )
    group.add_argument("--algo", help=f"algorithm: {', '.join(ALGORITHMS)}, her")
    group.add_argument("--env", help="gymnasium id of the environment")
    group.add_argument(
        "-f",
        "--folder",
        help="rl-zoo3's folder of agents, any folder with a model, or a zip (default: logs)",
    )
    group.add_argument(
        "--exp-id", type=int, help="number of the run; 0 for the newest (default: 0)"
    )
    group.add_argument("--load-best", action="store_true", default=None, help="load best_model.zip")
    group.add_argument(
        "--load-checkpoint",
        type=int,
        metavar="STEPS",
        help="load the checkpoint after this number of steps",
    )
    group.add_argument(
        "--load-last-checkpoint",
        action="store_true",
        default=None,
        help="load the checkpoint after the most steps",
    )
    group.add_argument(
        "-orga", "--organization", help="download the agent of this organization from the Hub"
    )
    group.add_argument("--revision", help="branch, tag or commit of the agent on the Hub")
    group.add_argument("--device", help="device of the agent: cpu, cuda or auto (default: cpu)")
    group.add_argument(
        "--env-kwargs",
        nargs="+",
        metavar="KEY:VALUE",
        help="arguments of the environment",
    )
    group.add_argument(
        "--gym-packages",
        nargs="+",
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
        metavar="NAME",
        help="packages, modules or wrappers that the agent's files may import, or arguments that "
        "they may give its environment (env_kwargs.NAME); an error shows which one is meant",
    )

    for what, example in (("action", "wait up down"), ("feature", "x speed angle")):
        group.add_argument(
            f"--{what}-names", nargs="+", metavar="NAME",
            help=f"names of the {what}s, for example {example} (default: the environment's)",
        )  # fmt: skip


def load_named_agent(options: argparse.Namespace) -> Agent:
    """Load the agent that the flags name, or the one of the output folder."""
    named = options.algo is not None
    complete_flags(options)
    if not named:
        what = "the demo's" if options.demo else f"{options.algo} {options.env}"
        options.notes.append(f"agent: {what}, as {options.output / AGENT_FILE} says")
    if options.demo:
        return demo_agent(action_names=options.action_names)
    return load_agent(options.algo, options.env, **loading_options(options))


def load_agent_of_folder(options: argparse.Namespace, folder: Path) -> Agent:
    """Load the agent of another output folder.

    :param options: options of the command, whose flags of an agent are not those of this one
    :param folder: the other output folder
    """
    if not (folder / AGENT_FILE).exists() and not is_of_demo(folder):
        raise ExplainError(
            f"{quote(str(folder))} is no output folder of another agent: it has no {AGENT_FILE}, "
            "which explain writes"
        )
    unset: dict[str, Any] = dict.fromkeys((*DEFAULTS, *AGAIN, "algo", "env"))
    return load_named_agent(argparse.Namespace(**{**vars(options), **unset, "output": folder}))


def loading_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.load_agent` but algorithm and environment."""
    given = pick_given(
        options, "folder", "exp_id", "load_best", "load_checkpoint", "load_last_checkpoint",
        "organization", "revision", "device", "action_names", "feature_names",
    )  # fmt: skip
    return {
        **given,
        "env_kwargs": read_key_values(options.env_kwargs or [], "--env-kwargs"),
        "vec_normalize": False if options.vec_normalize == "no" else options.vec_normalize,
        "trusted": options.trust or (),
        "gym_packages": options.gym_packages or (),
    }


def add_result_flags(sub: Parser, *, seed: bool = True) -> None:
    """Add the flags of the output folder, the random seed and the progress bars.

    :param sub: parser of the command
    :param seed: whether the command has a random seed
    """
    if seed:
        sub.add_argument("--seed", type=not_negative, default=0, help="random seed (default: 0)")
    sub.add_argument(
        "-o", "--output", type=Path,
        help="folder of all results (default: explained/ and the agent's name)",
    )  # fmt: skip
    sub.add_argument(
        "-P", "--progress", action=argparse.BooleanOptionalAction, default=True,
        help="show progress bars (default: yes)",
    )  # fmt: skip


def add_measuring_flags(sub: Parser) -> None:
    """Add the flags of the metrics and of the number of states to measure."""
    sub.add_argument(
        "--n-evaluated",
        type=positive,
        help="number of states to measure (default: 300; 50 of pictures if nothing was fitted)",
    )
    sub.add_argument(
        "--metrics", nargs="+", metavar="NAME",
        help="names of the metrics (default: four, or all but the slowest if one was fitted)",
    )  # fmt: skip


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
    return {**chosen, **more}


def add_target_flag(sub: Parser) -> None:
    """Add the flag that says what is explained."""
    sub.add_argument(
        "--target",
        help="what is explained: an action by its name or number, value, entropy, q:ACTION, "
        "advantage:ACTION, critic1, or a contrast such as 'LEFT - RIGHT' (default: the action "
        "that the agent takes)",
    )


def add_states_flag(group: argparse._ActionsContainer) -> None:
    """Add the flag that names the store of states of an output folder."""
    group.add_argument(
        "--states", choices=(STATES, EPISODES), default=STATES,
        help=f"folder of the states within the output folder: {STATES} of `explain` and `collect` "
        f"(default), or {EPISODES} of `highlights`",
    )  # fmt: skip
