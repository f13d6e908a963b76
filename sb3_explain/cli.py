"""The command line, with the zoo's flag names."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from sb3_explain.agent import Agent
from sb3_explain.atomic import writing_to
from sb3_explain.benchmark import run_benchmark
from sb3_explain.collection import collect
from sb3_explain.demo import VISIONMASK_SETTINGS, demo_agent
from sb3_explain.errors import ExplainError
from sb3_explain.evaluation import Evaluation
from sb3_explain.explainers.visionmask import VisionMask
from sb3_explain.highlights import highlights
from sb3_explain.hub_commands import add_hub_options, run_hub
from sb3_explain.loading.policies import ALGORITHMS
from sb3_explain.options import (
    GRID,
    Parser,
    add_agent_options,
    add_collecting_options,
    add_fitting_options,
    add_grid_options,
    add_highlights_options,
    add_probe_options,
    add_training_options,
    add_why_options,
    agent_of,
    collecting_options,
    fitting_settings,
    given,
    grid_options,
    highlights_options,
    not_negative,
    positive,
    probing_options,
    training_settings,
)
from sb3_explain.pixel_commands import (
    add_benchmark_options,
    add_train_options,
    run_benchmark_dmc,
    run_train,
)
from sb3_explain.preprocessing import colour_agent
from sb3_explain.registry import (
    CODECS,
    EXPLAINERS,
    METRICS,
    NETWORKS,
    REFERENCES,
    TARGETS,
    Registry,
)
from sb3_explain.states import StateDataset
from sb3_explain.weaknesses import find_weaknesses
from sb3_explain.why import ready_explainer, why
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: of the command line; the process's own when not given
    :return: exit code: 0, 2 after a mistake, 130 after Ctrl-C
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if is_of_zoo(given):
        options = argparse.Namespace(command=run_zoo, given=given)
    else:
        options = parser().parse_args(given)
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


def is_of_zoo(given: Sequence[str]) -> bool:
    """Whether a command is rl-zoo3's own: ``enjoy``, and ``train`` without a folder for a run."""
    ours = any(
        word in ("-h", "--help") or word.startswith("--output")
        # argparse takes -oFOLDER too; -optimize is the zoo's
        or (word.startswith("-o") and not word.startswith("-op"))
        for word in given
    )  # fmt: skip
    return given[:1] == ["enjoy"] or (given[:1] == ["train"] and not ours)


def run_zoo(options: argparse.Namespace) -> None:
    """``sb3-explain train`` and ``sb3-explain enjoy``: the zoo's, with our algorithms in it."""
    from sb3_explain import zoo  # needs rl-zoo3, which no other command does

    zoo.run(options.given[0], options.given[1:])


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
        "evaluate",
        run_evaluate,
        "measure the fitted VisionMask, or a grid of agents x explainers x seeds",
        f"{zoo} -o out\n  sb3-explain evaluate --agents demo --explainers all --seeds 0 1 -o grid",
    )
    reporting = add("report", run_report, "write video, pictures and report again", f"{zoo} -o out")
    asking = add(
        "why",
        run_why,
        "take away what matters in one state, and see what the agent does then",
        f"{zoo} -o out --state 145 --instead RIGHT",
    )
    probing = add(
        "probe",
        run_probe,
        "synthesise states that the agent fears, wants, or cannot decide in",
        f"{zoo} --targets all -o out",
    )
    summarising = add(
        "highlights",
        run_highlights,
        "show the moments of the agent's life that matter most, in one short video",
        f"{zoo} -o out",
    )
    training = add(
        "train",
        run_train,
        "train as rl-zoo3 does, with SGQN and its baselines; with -o, in parts that resume "
        "(python -m rl_zoo3.train -h tells the zoo's flags, what follows is of the other)",
        "--algo sgqn --env DMCGB/walker_walk-train-v0 -f logs  (all flags of rl_zoo3.train)\n"
        "  sb3-explain train --algo sgqn --env DMCGB/walker_walk-train-v0 -o out",
    )
    add(
        "enjoy",
        run_zoo,
        "play a trained agent as rl-zoo3 does, with SGQN and its baselines",
        "--algo sgqn --env DMCGB/walker_walk-train-v0 -f logs  (all flags of rl_zoo3.enjoy)",
    )
    benchmark = add(
        "benchmark",
        run_benchmark_dmc,
        "train and evaluate on the DMControl generalisation benchmark",
        "dmc --algos drq sgqn --tasks cartpole_swingup --seeds 0 --backgrounds dmcgb -o out",
    )
    sharing = add(
        "hub",
        run_hub,
        "share a fitted explainer or generator on the Hugging Face Hub, or take one up",
        f"push somebody/visionmask-pong {zoo} -o out",
    )
    add_hub_options(sharing)
    add(
        "list",
        run_list,
        "list explainers, metrics, references, networks, targets and algorithms",
        "",
    )

    for sub in (everything, collecting, fitting, reporting, asking, probing, summarising):
        add_agent_options(sub)
    add_highlights_options(summarising)
    add_agent_options(evaluating, required=False)
    add_grid_options(evaluating)
    add_why_options(asking)
    add_probe_options(probing)
    add_training_options(probing)
    add_train_options(training)
    add_benchmark_options(benchmark)
    playing = (everything, collecting, fitting, reporting, probing, summarising)
    seeded = (demo, *playing, evaluating, training)
    for sub in seeded:
        sub.add_argument("--seed", type=not_negative, default=0, help="of all chance (default: 0)")
    for sub in (*seeded, benchmark):
        sub.add_argument("-o", "--output", type=Path, required=True, help="folder for all results")
        sub.add_argument(
            "-P", "--progress", action=argparse.BooleanOptionalAction, default=True,
            help="show bars (default: yes)",
        )  # fmt: skip
    for sub in (everything, collecting):
        add_collecting_options(sub)
    probing.add_argument(
        "-n", "--n-states", type=positive, default=10_000, help="to learn from (default: 10000)"
    )
    for sub in (everything, fitting):
        add_fitting_options(sub)
    for sub in (everything, evaluating):
        sub.add_argument(
            "--n-evaluated", type=positive, default=300, help="test states to measure on"
        )
        sub.add_argument("--metrics", nargs="+", metavar="NAME", help="default: all")
    return top


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
    if given(options, *GRID):
        run_grid(options)
        return
    if options.algo is None or options.env is None:
        raise ExplainError("name an agent by --algo and --env, or a grid of them by --agents")
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


def run_grid(options: argparse.Namespace) -> None:
    """``sb3-explain evaluate`` with any of the grid's flags."""
    benchmark = run_benchmark(**grid_options(options))
    for agent, table in benchmark.joined().items():
        means = {
            metric: {name: row[metric]["mean"] for name, row in table.items() if metric in row}
            for metric in benchmark.metrics
        }
        if any(means.values()):
            print(f"{agent}\n{shown(pd.DataFrame(means, index=list(table)))}\n")
    for path in ("benchmark.md", "benchmark.csv", "bars.png", "radar.png"):
        if (options.output / path).exists():
            print(f"{path:13} {options.output / path}")
    failures = benchmark.failures()
    for line, jobs in failures.items():
        print(f"sb3-explain: {'; '.join(jobs)}: {line}", file=sys.stderr)
    if failures:
        n_failed = sum(map(len, failures.values()))
        raise ExplainError(
            f"{n_failed} of {len(benchmark.outcomes)} jobs failed; the same command runs them again"
        )


def run_report(options: argparse.Namespace) -> None:
    """``sb3-explain report``"""
    agent, test, explainer = fitted(options)
    page = write_all(options.output, agent, test, explainer, progress=options.progress)
    print(f"open {page}")


def run_why(options: argparse.Namespace) -> None:
    """``sb3-explain why``"""
    agent = agent_of(options)
    states = StateDataset.open(options.output / "states")
    instead = None if options.instead is None else agent.choice_named(options.instead)
    answer = why(
        agent,
        states,
        options.state,
        ready_explainer(agent, options.explainer, options.output, states),
        instead=instead,
        reference=options.reference,
        share=options.share,
        n_regions=options.regions,
    )
    print(
        answer.counterfactual.table().to_string(
            index=False, float_format="{:.3f}".format, na_rep=""
        )
    )
    name = f"state_{options.state}" + ("" if instead is None else f"_not_{instead}")
    if options.explainer != "visionmask":
        name += f"_{options.explainer}"
    for path in answer.save(options.output / "why" / name):
        print(path)


def run_highlights(options: argparse.Namespace) -> None:
    """``sb3-explain highlights``"""
    found = highlights(agent_of(options), options.output, **highlights_options(options))
    if len(found) < options.k:
        print(f"only {len(found)} moments differ: lower --diversity, or collect more (-n)")
    for name in ("highlights.mp4", "highlights.png", "highlights.json"):
        if (options.output / name).exists():
            print(options.output / name)


def run_probe(options: argparse.Namespace) -> None:
    """``sb3-explain probe``"""
    agent, other = agent_of(options), None
    if options.other is not None:
        others = {"folder": options.other, "algo": options.other_algo or options.algo}
        other = agent_of(argparse.Namespace(**{**vars(options), **others}))
    if options.colour:
        agent, other = colour_agent(agent), other and colour_agent(other)
    page = find_weaknesses(agent, options.output, other=other, **probing_options(options))
    print(f"open {page}")


def run_list(options: argparse.Namespace) -> None:
    """``sb3-explain list``"""
    del options
    registries: Sequence[tuple[str, Registry]] = (
        ("explainers", EXPLAINERS),
        ("metrics", METRICS),
        ("references", REFERENCES),
        ("mask networks", NETWORKS),
        ("targets", TARGETS),
        ("codecs", CODECS),
    )
    for title, registry in registries:
        print(f"{title}:")
        for name in registry:
            words = (registry[name].__doc__ or "").strip()
            print(f"  {name:20} {words.partition(chr(10))[0]}")
    print(f"algorithms:\n  {', '.join(ALGORITHMS)}, her")


def say(evaluation: Evaluation, output: Path) -> None:
    """Print the table of means and where the files are."""
    table = evaluation.table().pivot(index="explainer", columns="metric", values="mean")
    print(shown(table.loc[[name for name in evaluation.rows if name in table.index]]))
    for name in ("report.html", "metrics.json", "video.mp4"):
        if (output / name).exists():
            print(f"{name:13} {output / name}")


def shown(means: pd.DataFrame) -> str:
    """A table of means for a terminal."""
    # + 0.0: no minus before a zero
    return (means.round(3) + 0.0).to_string(float_format="{:.3f}".format, na_rep="-")
