"""``sb3-explain demo`` and ``explain``, and its steps ``collect``, ``fit`` and ``report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.demo import demo_agent
from sb3_explain.cli.evaluate import load_explainers, print_results
from sb3_explain.cli.flags import (
    ZOO_AGENT,
    add_agent_flags,
    add_measuring_flags,
    add_result_flags,
    add_target_flag,
    add_training_flags,
    load_agent_of_folder,
    load_named_agent,
    training_settings,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import (
    Commands,
    Parser,
    not_negative,
    pick_given,
    positive,
    read_key_values,
    share,
)
from sb3_explain.common.training import training_options
from sb3_explain.evaluation.evaluate import Evaluation
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.report.measured import read_metrics
from sb3_explain.states.baselines import BASELINES
from sb3_explain.states.collection import BEHAVIORS, choose_limit, collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.chosen_explainers import choose_explainers, list_fitted
from sb3_explain.workflows.pipeline import (
    FIRST_STATES,
    FITTED_STATES,
    explain,
    fit_visionmask,
    write_all,
)
from sb3_explain.workflows.suggested_state import suggest_state
from sb3_explain.workflows.whole_episodes import EPISODES

#: settings of the VisionMask of `demo`, which takes a few minutes on two cores
DEMO_STATES = 4000
DEMO_TRAINING = {"epochs": 8}


def add_commands(commands: Commands) -> None:
    """Add the options of these commands."""
    demo = commands.add("demo", run_demo, "-o demo", folder_name="demo")
    everything = commands.add(
        "explain",
        run_explain,
        f"{ZOO_AGENT}\n  sb3-explain explain -o explained/ppo-PongNoFrameskip-v4 --fit visionmask",
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
    add_explainer_flags(everything)
    add_collecting_flags(everything, "500; 10000 to fit an explainer")
    add_collecting_flags(collecting, "10000")
    for sub in (everything, fitting):
        add_fitting_flags(sub)
        add_training_flags(sub)
    add_measuring_flags(everything)
    everything.add_argument(
        "--n-shown", type=positive, metavar="N",
        help="number of steps of whole episodes that the page plays, at most (default: 300, or "
        "1000 after a fit)",
    )  # fmt: skip
    everything.add_argument(
        "--beside", nargs="+", type=Path, default=[], metavar="FOLDER",
        help="output folders of other agents, which the page plays beside this one",
    )  # fmt: skip


def add_explainer_flags(sub: Parser) -> None:
    """Add the flags that choose explainers and what they explain."""
    sub.add_argument(
        "--explainer", nargs="+", dest="explainers", metavar="NAME",
        help="explainers that are shown side by side (default: two that need no fit)",
    )  # fmt: skip
    sub.add_argument(
        "--fit", metavar="NAME",
        help="explainer that is fitted and added to the page, for example visionmask; it takes "
        "minutes, and the page without it is written before",
    )  # fmt: skip
    add_target_flag(sub)


def add_collecting_flags(sub: Parser, n_states: str) -> None:
    """Add the flags of collecting states.

    :param sub: parser of the command
    :param n_states: number of states that are collected by default, in words
    """
    group = sub.add_argument_group("states")
    group.add_argument(
        "-n",
        "--n-states",
        type=positive,
        help=f"number of states to collect (default: {n_states})",
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
        type=share,
        default=0.1,
        help="share of random actions with --behavior epsilon (default: 0.1)",
    )
    group.add_argument(
        "--max-per-episode", type=not_negative, metavar="N",
        help="save the first N states of an episode; 0: all (default: a 50th of -n, at least 100)",
    )  # fmt: skip
    group.add_argument(
        "--no-render", dest="render", action="store_false", default=None,
        help="save no rendered frames",
    )  # fmt: skip


def add_fitting_flags(sub: Parser) -> None:
    """Add the flags of VisionMask, whose defaults are the explainer's."""
    group = sub.add_argument_group("VisionMask")
    group.add_argument(
        "--max-area",
        type=share,
        help="share of the pixels or features that a mask may keep without penalty",
    )
    group.add_argument(
        "--baseline", help=f"what replaces masked pixels and features: {', '.join(BASELINES)}"
    )
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
    agent, output = demo_agent(), options.output
    options.demo = True  # which later commands find in the output folder
    if not (output / "report.html").exists():
        explain(agent, output, seed=options.seed, progress=options.progress)
        say_first_page(options)
    evaluation = explain(
        agent,
        output,
        fit="visionmask",
        n_states=DEMO_STATES,
        fit_kwargs=DEMO_TRAINING,
        seed=options.seed,
        progress=options.progress,
    )
    end_explaining(evaluation, options)


def run_explain(options: argparse.Namespace) -> None:
    """``sb3-explain explain``"""
    agent = load_named_agent(options)
    fitting, training = fitting_settings(options), training_settings(options)
    fit = options.fit or ("visionmask" if fitting or training else None)
    training = {**training, "progress": options.progress} if fit else {}
    beside = load_beside(options)
    chosen: dict[str, Any] = {
        "explainers": options.explainers,
        "n_evaluated": options.n_evaluated,
        "metrics": options.metrics,
        "target": options.target,
        "n_shown": options.n_shown,
        "seed": options.seed,
        "progress": options.progress,
    }
    if fit is not None and not (options.output / "report.html").exists():
        # Fail now, not after the first page.
        named = choose_explainers(agent, options.output, options.explainers, fit, options.target)
        named.make_unfitted(**fitting)
        training_options(training)
        explain(agent, options.output, **chosen, **first_options(options))
        say_first_page(options)
    evaluation = explain(
        agent,
        options.output,
        **chosen,
        fit=fit,
        beside=beside,
        n_states=options.n_states,
        collect_kwargs=collecting_options(options),
        explainer_kwargs=fitting,
        fit_kwargs=training,
    )
    end_explaining(evaluation, options)


def load_beside(options: argparse.Namespace) -> dict[str, Agent]:
    """Load the agents of other output folders, by the names of the folders."""
    return {
        folder.resolve().name: load_agent_of_folder(options, folder) for folder in options.beside
    }


def first_options(options: argparse.Namespace) -> dict[str, Any]:
    """Options of the page before a fit: the first episodes of those that it is fitted on."""
    n_states = options.n_states or FITTED_STATES
    longest = options.max_per_episode
    if longest is None:
        longest = choose_limit(n_states)
    several = 5 * longest if longest else FIRST_STATES
    collecting = {**collecting_options(options), "max_per_episode": longest}
    return {"n_states": min(n_states, several), "collect_kwargs": collecting}


def say_first_page(options: argparse.Namespace) -> None:
    """Say where the first page is, before the fit of an explainer begins."""
    print("first page; a better one takes its place when the explainer is fitted:")
    say_end(options.output / "report.html")


def end_explaining(evaluation: Evaluation, options: argparse.Namespace) -> None:
    """Print what was measured, the address of the page, and what to try next."""
    print_results(evaluation, options.output)
    page = options.output / "report.html"
    if list_fitted(options.output):
        say_end_with_question(page, options.output)
    else:
        say_end(page, "explain", "-o", str(options.output), "--fit", "visionmask")


def say_end_with_question(made: Path, output: Path) -> None:
    """Print the address of what a command has made, and ``why`` of a state worth the question.

    :param made: file or folder
    :param output: output folder that holds states
    """
    position, reason = suggest_state(StateDataset.open(output / "states"))
    asked = ("why", "-o", str(output), "--state", str(position))
    say_end(made, *asked, reason=f"state {position}: {reason}")


def run_collect(options: argparse.Namespace) -> None:
    """``sb3-explain collect``"""
    folder = options.output / "states"
    states = collect(
        load_named_agent(options),
        n_states=options.n_states or FITTED_STATES,
        folder=folder,
        seed=options.seed,
        progress=options.progress,
        **collecting_options(options),
    )
    n_cut, limit = states.provenance["episodes_cut"], states.provenance["max_per_episode"]
    cut = f" ({n_cut} of them cut after {limit} states: --max-per-episode)" if n_cut else ""
    print(f"{len(states)} states of {states.episode[-1] + 1} episodes{cut} in {folder}")
    say_end(folder, "explain", "-o", str(options.output))


def run_fit(options: argparse.Namespace) -> None:
    """``sb3-explain fit``"""
    explainer = fit_visionmask(
        load_named_agent(options),
        StateDataset.open(options.output / "states"),
        options.output / "visionmask",
        explainer_kwargs=fitting_settings(options),
        fit_kwargs={**training_settings(options), "progress": options.progress},
        seed=options.seed,
    )
    last = explainer.training.history[-1]
    print(f"fitted in {explainer.fit_seconds:.0f} s; validation loss {last['loss']:.3f}")
    say_end(options.output / "visionmask", "evaluate", "-o", str(options.output))


def run_report(options: argparse.Namespace) -> None:
    """``sb3-explain report``"""
    measured, target = options.output / "metrics.json", None
    if measured.exists():
        target = (read_metrics(measured).get("states") or {}).get("target")
    _, test, explainers = load_explainers(options, target)
    folder = options.output / EPISODES
    page = write_all(
        options.output, test, explainers,
        played=StateDataset.open(folder) if folder.exists() else None,
        target=target, progress=options.progress,
    )  # fmt: skip
    say_end_with_question(page, options.output)


def collecting_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.collect` in the flags."""
    return {
        "behavior": options.behavior,
        "epsilon": options.epsilon,
        "max_per_episode": options.max_per_episode,
        "n_envs": options.n_envs,
        "render": options.render,
    }


def fitting_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of VisionMask in the flags."""
    chosen = pick_given(options, "max_area", "baseline", "network", "temperature")
    return {**chosen, **read_key_values(options.visionmask, "--visionmask")}
