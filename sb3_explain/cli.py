"""The command line, with the zoo's flag names."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sb3_explain.agent import Agent
from sb3_explain.atomic import writing_to
from sb3_explain.collection import BEHAVIOURS, collect
from sb3_explain.demo import VISIONMASK_SETTINGS, demo_agent
from sb3_explain.errors import ExplainError
from sb3_explain.evaluation import Evaluation
from sb3_explain.explainers.visionmask import VisionMask
from sb3_explain.loading import load_agent
from sb3_explain.loading.expressions import read_expression
from sb3_explain.loading.policies import ALGORITHMS
from sb3_explain.registry import EXPLAINERS, METRICS, NETWORKS, REFERENCES, Registry
from sb3_explain.states import StateDataset
from sb3_explain.workflow import (
    evaluate_to,
    explain,
    fit_visionmask,
    require_same_split,
    write_all,
)

#: what `demo` does in a few minutes on two cores; `explain` without options does more
DEMO_STATES = 4000
DEMO_TRAINING = {"epochs": 8}
DEMO_EVALUATED = 150


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: of the command line; the process's own when not given
    :return: exit code: 0, 2 after a mistake, 130 after Ctrl-C
    """
    options = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    output = getattr(options, "output", None)
    try:
        with writing_to(Path(output or ".")):
            command(options)
    except ExplainError as error:
        print(f"sb3-explain: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        kept = f"what is finished is kept in {output}; " if output is not None else ""
        again = "run the same command again to go on"
        print(f"\nsb3-explain: interrupted; {kept}{again}", file=sys.stderr)
        return 130
    return 0


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="sb3-explain", description="Explain agents of Stable-Baselines3.")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def add(
        name: str, command: Callable[[argparse.Namespace], None], does: str, example: str
    ) -> Parser:
        sub = commands.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            epilog=f"example:\n  sb3-explain {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        return sub

    zoo = "--algo ppo --env PongNoFrameskip-v4 -f rl-trained-agents"
    demo = add("demo", run_demo, "explain the Pong agent that comes with the package", "-o demo")
    everything = add(
        "explain",
        run_explain,
        "collect, fit and evaluate what is missing, then write video, pictures and report",
        f"{zoo} -o out",
    )
    collecting = add(
        "collect", run_collect, "play the agent and keep its states", f"{zoo} -n 10000 -o out"
    )
    fitting = add(
        "fit", run_fit, "fit a VisionMask on the collected states", f"{zoo} -o out --max-area 0.1"
    )
    evaluating = add(
        "evaluate", run_evaluate, "measure on the test states", f"{zoo} -o out --n-evaluated 300"
    )
    reporting = add("report", run_report, "write video, pictures and report again", f"{zoo} -o out")
    add("list", run_list, "list explainers, metrics, references, networks and algorithms", "")

    for sub in (everything, collecting, fitting, evaluating, reporting):
        add_agent_options(sub)
    for sub in (demo, everything, collecting, fitting, evaluating, reporting):
        sub.add_argument("-o", "--output", type=Path, required=True, help="folder for all results")
        sub.add_argument("--seed", type=not_negative, default=0, help="of all chance (default: 0)")
        sub.add_argument(
            "-P", "--progress", action=argparse.BooleanOptionalAction, default=True,
            help="show bars (default: yes)",
        )  # fmt: skip
    for sub in (everything, collecting):
        add_collecting_options(sub)
    for sub in (everything, fitting):
        add_fitting_options(sub)
    for sub in (everything, evaluating):
        sub.add_argument(
            "--n-evaluated", type=positive, default=300, help="test states to measure on"
        )
        sub.add_argument("--metrics", nargs="+", metavar="NAME", help="default: all")
    return top


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return at_least(1, text)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return at_least(0, text)


def at_least(least: int, text: str) -> int:
    """:raises ArgumentTypeError: if ``text`` is no whole number, or below ``least``"""
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is below {least}")
    return number


def add_agent_options(sub: Parser) -> None:
    """Which agent: the zoo's own flags."""
    group = sub.add_argument_group("agent")
    group.add_argument("--algo", required=True, help=f"one of {', '.join(ALGORITHMS)}, her")
    group.add_argument("--env", required=True, help="gymnasium id")
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


def add_collecting_options(sub: Parser) -> None:
    """How states are collected."""
    group = sub.add_argument_group("states")
    group.add_argument("-n", "--n-states", type=positive, default=10_000, help="default: 10000")
    group.add_argument("--n-envs", type=positive, help="environments side by side")
    group.add_argument("--behaviour", choices=BEHAVIOURS, default="zoo", help="default: zoo")
    group.add_argument(
        "--deterministic", dest="behaviour", action="store_const", const="greedy",
        help="the same as --behaviour greedy",
    )  # fmt: skip
    group.add_argument(
        "--stochastic", dest="behaviour", action="store_const", const="stochastic",
        help="the same as --behaviour stochastic",
    )  # fmt: skip
    group.add_argument("--epsilon", type=float, default=0.1, help="of --behaviour epsilon")
    group.add_argument(
        "--max-per-episode", type=not_negative, metavar="N",
        help="keep the first N states of an episode; 0: all (default: a 50th of -n, at least 100)",
    )  # fmt: skip
    group.add_argument("--no-render", action="store_true", help="keep no frames to look at")


def add_fitting_options(sub: Parser) -> None:
    """What VisionMask is and how it is trained; what is not given keeps its default."""
    group = sub.add_argument_group("VisionMask")
    group.add_argument("--max-area", type=float, help="share of the cells free of cost")
    group.add_argument("--reference", help=f"one of {', '.join(REFERENCES)}")
    group.add_argument("--network", help=f"one of {', '.join(NETWORKS)}")
    group.add_argument("--temperature", type=float, help="of the scores in the loss (default: 1)")
    group.add_argument("--epochs", type=int)
    group.add_argument("--batch-size", type=int)
    group.add_argument("--learning-rate", type=float)
    group.add_argument("--precision", help="auto, bf16 or no")
    group.add_argument(
        "--visionmask", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other setting, for example per_frame:False lambda_tv:0.1",
    )  # fmt: skip
    group.add_argument(
        "--training", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other option of training, for example patience:3",
    )  # fmt: skip


def agent_of(options: argparse.Namespace) -> Agent:
    """The agent that the flags name."""
    return load_agent(
        options.algo,
        options.env,
        folder=options.folder,
        exp_id=options.exp_id,
        load_best=options.load_best,
        load_checkpoint=options.load_checkpoint,
        load_last_checkpoint=options.load_last_checkpoint,
        organization=options.organization,
        revision=options.revision,
        device=options.device,
        env_kwargs=key_values(options.env_kwargs, "--env-kwargs"),
        trusted=options.trust,
    )


def key_values(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """``["mode:2", "name:'x'"]`` as the zoo writes them; values are literals.

    :raises ExplainError: if a pair is none
    """
    read = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon:
            raise ExplainError(f"{pair!r} is no KEY:VALUE, for example difficulty:1")
        read[key] = read_expression(value, f"{flag} {key}")
    return read


def collecting_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.collect`."""
    return {
        "behaviour": options.behaviour,
        "epsilon": options.epsilon,
        "max_per_episode": options.max_per_episode,
        "n_envs": options.n_envs,
        "render": not options.no_render,
    }


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that the user has set."""
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}


def fitting_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the VisionMask."""
    chosen = given(options, "max_area", "reference", "network", "temperature")
    return {**chosen, **key_values(options.visionmask, "--visionmask")}


def training_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Options of the training loop."""
    chosen = given(options, "epochs", "batch_size", "learning_rate", "precision")
    more = key_values(options.training, "--training")
    return {**chosen, **more, "progress": options.progress}


def run_demo(options: argparse.Namespace) -> None:
    """``sb3-explain demo``"""
    evaluation = explain(
        demo_agent(),
        options.output,
        n=DEMO_STATES,
        n_evaluated=DEMO_EVALUATED,
        settings=VISIONMASK_SETTINGS,
        training=DEMO_TRAINING,
        seed=options.seed,
        progress=options.progress,
    )
    say(evaluation, options.output)


def run_explain(options: argparse.Namespace) -> None:
    """``sb3-explain explain``"""
    evaluation = explain(
        agent_of(options),
        options.output,
        n=options.n_states,
        n_evaluated=options.n_evaluated,
        collecting=collecting_options(options),
        settings=fitting_settings(options),
        training=training_settings(options),
        metrics=options.metrics,
        seed=options.seed,
        progress=options.progress,
    )
    say(evaluation, options.output)


def run_collect(options: argparse.Namespace) -> None:
    """``sb3-explain collect``"""
    folder = options.output / "states"
    states = collect(
        agent_of(options),
        n=options.n_states,
        folder=folder,
        seed=options.seed,
        progress=options.progress,
        **collecting_options(options),
    )
    print(f"{len(states)} states of {states.episode[-1] + 1} episodes in {folder}")


def run_fit(options: argparse.Namespace) -> None:
    """``sb3-explain fit``"""
    explainer = fit_visionmask(
        agent_of(options),
        StateDataset.open(options.output / "states"),
        options.output / "visionmask",
        settings=fitting_settings(options),
        training=training_settings(options),
        seed=options.seed,
    )
    last = explainer.training.history[-1]
    print(f"fitted in {explainer.fit_seconds:.0f} s; validation loss {last['loss']:.3f}")


def fitted(options: argparse.Namespace) -> tuple[Agent, StateDataset, VisionMask]:
    """The agent, its test states and its VisionMask, from an output folder."""
    agent = agent_of(options)
    states = StateDataset.open(options.output / "states")
    explainer = VisionMask.load(options.output / "visionmask", agent)
    train, _, test = states.split(seed=options.seed)
    require_same_split(explainer, train)
    return agent, test, explainer


def run_evaluate(options: argparse.Namespace) -> None:
    """``sb3-explain evaluate``"""
    agent, test, explainer = fitted(options)
    evaluation = evaluate_to(
        options.output,
        agent,
        test,
        explainer,
        options.metrics,
        n_states=options.n_evaluated,
        seed=options.seed,
        progress=options.progress,
    )
    say(evaluation, options.output)


def run_report(options: argparse.Namespace) -> None:
    """``sb3-explain report``"""
    agent, test, explainer = fitted(options)
    page = write_all(options.output, agent, test, explainer, progress=options.progress)
    print(f"open {page}")


def run_list(options: argparse.Namespace) -> None:
    """``sb3-explain list``"""
    del options
    registries: Sequence[tuple[str, Registry]] = (
        ("explainers", EXPLAINERS),
        ("metrics", METRICS),
        ("references", REFERENCES),
        ("mask networks", NETWORKS),
    )
    for title, registry in registries:
        print(f"{title}:")
        for name in registry:
            print(f"  {name:18} {(registry[name].__doc__ or '').strip().splitlines()[0]}")
    print(f"algorithms:\n  {', '.join(ALGORITHMS)}, her")


def say(evaluation: Evaluation, output: Path) -> None:
    """Print the table of means and where the files are."""
    table = evaluation.table().pivot(index="explainer", columns="metric", values="mean")
    rows = [name for name in evaluation.rows if name in table.index]
    # + 0.0: no minus before a zero
    print((table.loc[rows].round(3) + 0.0).to_string(float_format="{:.3f}".format, na_rep="-"))
    for name in ("report.html", "metrics.json", "video.mp4"):
        if (output / name).exists():
            print(f"{name:13} {output / name}")
