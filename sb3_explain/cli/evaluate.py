"""``sb3-explain evaluate`` for a folder's explainers, or a grid of agents x explainers x seeds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sb3_explain.cli.flags import (
    ZOO_AGENT,
    add_agent_flags,
    add_measuring_flags,
    add_result_flags,
    add_target_flag,
    load_named_agent,
    loading_options,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import (
    Commands,
    Parser,
    not_negative,
    pick_given,
    positive,
    read_key_values,
)
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.evaluation.evaluate import Evaluation
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.baselines import BASELINES
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.agent_file import NAME as AGENT_FILE
from sb3_explain.workflows.benchmark import run_benchmark
from sb3_explain.workflows.benchmark.backends import BACKENDS
from sb3_explain.workflows.benchmark.grid import ALL
from sb3_explain.workflows.chosen_explainers import choose_explainers, list_measured
from sb3_explain.workflows.pipeline import evaluate_to
from sb3_explain.workflows.splitting import split_states

GRID = (
    "agents", "explainers", "seeds", "n_states", "baseline", "settings", "training", "collecting",
    "backend", "jobs", "threads", "address",
)  # fmt: skip


def add_commands(commands: Commands) -> None:
    """Add the options of ``evaluate``."""
    sub = commands.add(
        "evaluate",
        run_evaluate,
        f"{ZOO_AGENT} -o out\n  sb3-explain evaluate --agents demo --explainers all --seeds 0 1 "
        "-o grid",
        folder_name="grid",
    )
    add_agent_flags(sub)
    add_target_flag(sub)
    add_grid_flags(sub)
    add_result_flags(sub)
    add_measuring_flags(sub)


def add_grid_flags(sub: Parser) -> None:
    """Add the flags of a grid of agents x explainers x seeds."""
    group = sub.add_argument_group(
        "grid", "any of these flags measures a grid of agents x explainers x seeds"
    )
    group.add_argument(
        "--agents", nargs="+", metavar="NAME",
        help="demo, ALGO:ENV, or MODULE:FUNCTION of a trusted package (default: --algo and --env)",
    )  # fmt: skip
    group.add_argument(
        "--explainers", nargs="+", metavar="NAME", help="names of the explainers (default: all)"
    )
    group.add_argument(
        "--seeds",
        nargs="+",
        type=not_negative,
        metavar="N",
        help="random seeds (default: that of --seed)",
    )
    group.add_argument(
        "-n",
        "--n-states",
        type=positive,
        help="number of states of each agent and seed (default: 10000)",
    )
    group.add_argument(
        "--baseline",
        help=f"what replaces removed pixels and features: {', '.join(BASELINES)} "
        "(default: background)",
    )
    group.add_argument(
        "--settings", nargs="+", metavar="NAME.KEY:VALUE",
        help="settings of explainers and metrics, for example rise.n_masks:1000 insertion.steps:50",
    )  # fmt: skip
    for what, example in (("training", "epochs:5"), ("collecting", "max_per_episode:100")):
        group.add_argument(
            f"--{what}",
            nargs="+",
            metavar="KEY:VALUE",
            help=f"options of {what}, for example {example}",
        )
    group.add_argument("--backend", help=f"where jobs run: {', '.join(BACKENDS)} (default: here)")
    group.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="number of jobs at once (default: number of processors)",
    )
    group.add_argument(
        "--threads", type=positive, metavar="N", help="number of threads of each job (default: 1)"
    )
    group.add_argument(
        "--address", help="address of a Ray cluster (default: start Ray on this machine)"
    )


def run_evaluate(options: argparse.Namespace) -> None:
    """``sb3-explain evaluate``"""
    if pick_given(options, *GRID):
        run_grid(options)
        return
    unnamed = options.algo is None and not (options.output / AGENT_FILE).exists()
    if (options.algo is None) != (options.env is None) or unnamed:
        raise ExplainError("name an agent by --algo and --env, or a grid of them by --agents")
    train, test, explainers = load_explainers(options, options.target)
    evaluation = evaluate_to(
        options.output,
        train,
        test,
        explainers,
        options.metrics,
        n_evaluated=options.n_evaluated,
        target=options.target,
        seed=options.seed,
        progress=options.progress,
    )
    print_results(evaluation, options.output)
    say_end(options.output / "metrics.json", "report", "-o", str(options.output))


def load_explainers(
    options: argparse.Namespace, target: str | None
) -> tuple[StateDataset, StateDataset, dict[str, Explainer]]:
    """Load the explainers of an output folder, and the states that they are measured on.

    They are those that were fitted there, and those that were measured there before, or else the
    usual ones.

    :param options: the options of a command
    :param target: what is explained; the action taken when not given
    :return: states that they may learn from, states to measure on, and the explainers by name
    """
    agent = load_named_agent(options)
    states = StateDataset.open(options.output / "states")
    names = list_measured(options.output) or None
    chosen = choose_explainers(agent, options.output, names, target=target)
    train = test = states
    if chosen.learns:
        train, _, test = split_states(states, options.seed)
    return train, test, chosen.make_ready(train)


def print_results(evaluation: Evaluation, output: Path) -> None:
    """Print the table of means, what it shows in sentences, and the paths of the files."""
    table = evaluation.table().pivot(index="explainer", columns="metric", values="mean")
    print(format_means(table.loc[[name for name in evaluation.rows if name in table.index]]))
    print("\n".join(f"- {sentence}" for sentence in evaluation.summary()))
    print(f"{'metrics.json':13} {output / 'metrics.json'}")


def run_grid(options: argparse.Namespace) -> None:
    """Run ``sb3-explain evaluate`` with the flags of a grid."""
    if options.target is not None:
        raise ExplainError("--target is of one agent: leave it out, or name no grid")
    benchmark = run_benchmark(**grid_options(options))
    for agent, table in benchmark.join_seeds().items():
        means = {
            metric: {name: row[metric]["mean"] for name, row in table.items() if metric in row}
            for metric in benchmark.metrics
        }
        if any(means.values()):
            print(f"{agent}\n{format_means(pd.DataFrame(means, index=list(table)))}\n")
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
    say_end(options.output / "benchmark.md")


def format_means(means: pd.DataFrame) -> str:
    """A table of means as text for a terminal."""
    # + 0.0: no minus before a zero
    return (means.round(3) + 0.0).to_string(float_format="{:.3f}".format, na_rep="-")


def grid_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.run_benchmark` in the flags.

    :raises ExplainError: if no agent is named, or a setting belongs to nothing in the grid
    """
    one = [name for name in (options.algo, options.env) if name is not None]
    if len(one) != (0 if options.agents else 2):
        raise ExplainError("name the agents either by --agents, or one by --algo and --env")
    settings: dict[str, dict[str, Any]] = {}
    for pair, value in read_key_values(options.settings or [], "--settings").items():
        name, dot, setting = pair.rpartition(".")
        if not dot:
            raise ExplainError(f"{pair!r} is no NAME.KEY, for example insertion.steps:50")
        settings.setdefault(name, {})[setting] = value
    explainers = merge_settings(options.explainers or [ALL], settings, EXPLAINERS)
    metrics = merge_settings(options.metrics or [ALL], settings, METRICS)
    for name in (
        settings.keys() - read_labels(explainers, EXPLAINERS) - read_labels(metrics, METRICS)
    ):
        known = read_labels(explainers, EXPLAINERS) | read_labels(metrics, METRICS)
        raise unknown_name("explainer or metric of --settings", name, known)
    return {
        **pick_given(
            options, "n_states", "n_evaluated", "baseline", "backend", "jobs", "threads", "address"
        ),
        "agents": options.agents or [":".join(one)],
        "explainers": explainers,
        "metrics": metrics,
        "seeds": options.seeds or [options.seed],
        "fit_kwargs": read_key_values(options.training or [], "--training"),
        "collect_kwargs": read_key_values(options.collecting or [], "--collecting"),
        "load_kwargs": loading_options(options),
        "output": options.output,
        "progress": options.progress,
    }


def merge_settings(
    names: Sequence[str], settings: Mapping[str, Any], registry: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Settings of explainers or metrics, by label.

    :param names: names in the flags: ``name``, ``label=name`` or ``all``
    :param settings: settings by label
    :param registry: all names, which ``all`` stands for
    """
    chosen = {name: settings.get(name.partition("=")[0], {}) for name in names}
    if ALL in names:
        chosen |= {name: settings[name] for name in registry if name in settings}
    return chosen


def read_labels(chosen: Iterable[str], registry: Iterable[str]) -> set[str]:
    """The labels of the rows: the first half of ``label=name``, or the name itself."""
    every = set(registry) if ALL in chosen else set()
    return every | {name.partition("=")[0] for name in chosen} - {ALL}
