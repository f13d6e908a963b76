"""``sb3-explain demo`` and ``explain``, and its steps ``collect``, ``fit`` and ``report``."""

from __future__ import annotations

import argparse
from typing import Any

from sb3_explain.agents.demo import demo_agent
from sb3_explain.cli.evaluate import load_fitted, print_results
from sb3_explain.cli.flags import (
    ZOO_AGENT,
    add_agent_flags,
    add_measuring_flags,
    add_result_flags,
    add_training_flags,
    load_named_agent,
    training_settings,
)
from sb3_explain.cli.parsing import (
    Commands,
    Parser,
    not_negative,
    pick_given,
    positive,
    read_key_values,
)
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.states.baselines import BASELINES
from sb3_explain.states.collection import BEHAVIORS, collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pipeline import explain, fit_visionmask, write_all

#: settings of `demo`, which takes a few minutes on two cores; `explain` does more by default, but
#: with fewer states to measure on, intervals would be too narrow
DEMO_STATES = 4000
DEMO_TRAINING = {"epochs": 8}
DEMO_EVALUATED = 300
#: metrics that explain each state ten times more, which the demo leaves to `evaluate`
STABILITY = frozenset({"local_lipschitz", "max_sensitivity"})


def add_commands(commands: Commands) -> None:
    """Add the options of these commands."""
    demo = commands.add("demo", run_demo, "-o demo")
    everything = commands.add(
        "explain",
        run_explain,
        f"{ZOO_AGENT} -o out",
    )
    collecting = commands.add("collect", run_collect, f"{ZOO_AGENT} -n 10000 -o out")
    fitting = commands.add(
        "fit",
        run_fit,
        f"{ZOO_AGENT} -o out --max-area 0.1",
    )
    reporting = commands.add("report", run_report, f"{ZOO_AGENT} -o out")
    for sub in (everything, collecting, fitting, reporting):
        add_agent_flags(sub)
    for sub in (demo, everything, collecting, fitting, reporting):
        add_result_flags(sub)
    for sub in (everything, collecting):
        add_collecting_flags(sub)
    for sub in (everything, fitting):
        add_fitting_flags(sub)
        add_training_flags(sub)
    add_measuring_flags(everything)


def add_collecting_flags(sub: Parser) -> None:
    """Add the flags of collecting states."""
    group = sub.add_argument_group("states")
    group.add_argument(
        "-n",
        "--n-states",
        type=positive,
        default=10_000,
        help="number of states to collect (default: 10000)",
    )
    group.add_argument(
        "--n-envs", type=positive, help="number of parallel environments (default: chosen by -n)"
    )
    group.add_argument(
        "--behavior",
        choices=BEHAVIORS,
        default="zoo",
        help="how actions are chosen (default: zoo, as rl-zoo3's enjoy)",
    )
    group.add_argument(
        "--deterministic", dest="behavior", action="store_const", const="greedy",
        help="the same as --behavior greedy",
    )  # fmt: skip
    group.add_argument(
        "--stochastic", dest="behavior", action="store_const", const="stochastic",
        help="the same as --behavior stochastic",
    )  # fmt: skip
    group.add_argument(
        "--epsilon",
        type=float,
        default=0.1,
        help="share of random actions with --behavior epsilon (default: 0.1)",
    )
    group.add_argument(
        "--max-per-episode", type=not_negative, metavar="N",
        help="save the first N states of an episode; 0: all (default: a 50th of -n, at least 100)",
    )  # fmt: skip
    group.add_argument("--no-render", action="store_true", help="save no rendered frames")


def add_fitting_flags(sub: Parser) -> None:
    """Add the flags of VisionMask, whose defaults are the explainer's."""
    group = sub.add_argument_group("VisionMask")
    group.add_argument(
        "--max-area",
        type=float,
        help="share of the pixels or features that a mask may keep without penalty",
    )
    group.add_argument("--baseline", help=f"what replaces masked pixels: {', '.join(BASELINES)}")
    group.add_argument("--network", help=f"network of the masks: {', '.join(NETWORKS)}")
    group.add_argument(
        "--temperature",
        type=float,
        help="temperature of the agent's scores in the loss (default: 1)",
    )
    group.add_argument(
        "--visionmask", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other setting, for example per_frame:False lambda_tv:0.1",
    )  # fmt: skip


def run_demo(options: argparse.Namespace) -> None:
    """``sb3-explain demo``"""
    evaluation = explain(
        demo_agent(),
        options.output,
        n_states=DEMO_STATES,
        n_evaluated=DEMO_EVALUATED,
        fit_kwargs=DEMO_TRAINING,
        metrics=[metric for metric in METRICS if metric not in STABILITY],
        seed=options.seed,
        progress=options.progress,
    )
    print_results(evaluation, options.output)


def run_explain(options: argparse.Namespace) -> None:
    """``sb3-explain explain``"""
    evaluation = explain(
        load_named_agent(options),
        options.output,
        n_states=options.n_states,
        n_evaluated=options.n_evaluated,
        collect_kwargs=collecting_options(options),
        explainer_kwargs=fitting_settings(options),
        fit_kwargs=training_settings(options),
        metrics=options.metrics,
        seed=options.seed,
        progress=options.progress,
    )
    print_results(evaluation, options.output)


def run_collect(options: argparse.Namespace) -> None:
    """``sb3-explain collect``"""
    folder = options.output / "states"
    states = collect(
        load_named_agent(options),
        n_states=options.n_states,
        folder=folder,
        seed=options.seed,
        progress=options.progress,
        **collecting_options(options),
    )
    print(f"{len(states)} states of {states.episode[-1] + 1} episodes in {folder}")


def run_fit(options: argparse.Namespace) -> None:
    """``sb3-explain fit``"""
    explainer = fit_visionmask(
        load_named_agent(options),
        StateDataset.open(options.output / "states"),
        options.output / "visionmask",
        explainer_kwargs=fitting_settings(options),
        fit_kwargs=training_settings(options),
        seed=options.seed,
    )
    last = explainer.training.history[-1]
    print(f"fitted in {explainer.fit_seconds:.0f} s; validation loss {last['loss']:.3f}")


def run_report(options: argparse.Namespace) -> None:
    """``sb3-explain report``"""
    _, test, explainer = load_fitted(options)
    page = write_all(options.output, test, explainer, progress=options.progress)
    print(f"open {page}")


def collecting_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.collect` in the flags."""
    return {
        "behavior": options.behavior,
        "epsilon": options.epsilon,
        "max_per_episode": options.max_per_episode,
        "n_envs": options.n_envs,
        "render": not options.no_render,
    }


def fitting_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of VisionMask in the flags."""
    chosen = pick_given(options, "max_area", "baseline", "network", "temperature")
    return {**chosen, **read_key_values(options.visionmask, "--visionmask")}
