"""The files of a whole grid: tables, figures, and the cost of all jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sb3_explain.common.bootstrap import NARROW, NO_INTERVALS
from sb3_explain.common.files import atomic_path, write_json, write_text
from sb3_explain.common.provenance import describe_machine
from sb3_explain.report import save, words
from sb3_explain.report.grid_figures import bar_figure, radar_figure
from sb3_explain.report.grid_tables import latex_table, markdown_table
from sb3_explain.report.wording import Wording
from sb3_explain.workflows.benchmark.job import Protocol
from sb3_explain.workflows.benchmark.results import Outcome, Table, join_seeds, list_seeds


@dataclass(frozen=True)
class Benchmark:
    """The outcome of :func:`run_benchmark`.

    :param outcomes: every job with its result
    :param metrics: names of the metrics that were measured
    :param output: folder of its files
    """

    outcomes: list[Outcome]
    metrics: list[str]
    output: Path

    def table(self) -> pd.DataFrame:
        """Return a row for each agent, explainer, seed and metric, as in ``benchmark.parquet``."""
        return list_seeds(self.outcomes)

    def join_seeds(self) -> dict[str, Table]:
        """Return mean and interval over all seeds, by agent, explainer and metric."""
        return join_seeds(self.outcomes)

    def failures(self) -> dict[str, list[str]]:
        """Return the names of the jobs that failed, by the reason in one line."""
        failures: dict[str, list[str]] = {}
        for outcome in self.outcomes:
            if outcome.failure:
                names = outcome.names
                name = f"{names['explainer']} of {names['agent']}, seed {names['seed']}"
                failures.setdefault(outcome.failure, []).append(name)
        return failures


def write_output(
    output: Path, outcomes: list[Outcome], protocol: Protocol, ran: dict[str, Any]
) -> Benchmark:
    """Write all files about the grid as a whole.

    :param output: folder of the grid
    :param outcomes: all jobs with their results
    :param protocol: settings of the grid
    :param ran: how it was run, as plain data
    """
    measured = {name for outcome in outcomes for name in outcome.metrics}
    names = [name for name in protocol.metrics if name in measured]
    benchmark = Benchmark(outcomes, names, output)
    lines, tables = benchmark.table(), benchmark.join_seeds()
    notes = collect_notes(outcomes)
    about = describe_jobs(outcomes, protocol, ran)
    known = any(
        words.has_interval(row.get(name))
        for table in tables.values()
        for row in table.values()
        for name in names
    )
    caption = write_statement(about, intervals=known)
    shown: dict[str, Any] = {"wordings": read_wordings(outcomes)}
    write_json(output / "about.json", about)
    write_frame(output / "benchmark.parquet", lines)
    write_frame(output / "benchmark.csv", lines)
    write_frame(output / "joined.csv", list_rows(tables))
    write_text(output / "benchmark.md", markdown_table(tables, names, notes, caption, **shown))
    write_text(output / "benchmark.tex", latex_table(tables, names, notes, caption, **shown))
    if names:
        save(output / "bars.png", bar_figure(tables, names, notes, **shown))
        save(output / "radar.png", radar_figure(tables, names, notes, **shown))
    return benchmark


def collect_notes(outcomes: list[Outcome]) -> dict[str, dict[str, str]]:
    """Return why there are no values, or not of every seed, by agent and explainer."""
    notes: dict[str, dict[str, str]] = {}
    for outcome in outcomes:
        if outcome.note:
            names = outcome.names
            notes.setdefault(names["agent"], {}).setdefault(names["explainer"], outcome.note)
    return notes


def read_wordings(outcomes: Iterable[Outcome]) -> dict[str, Wording]:
    """Return the words for each agent's kind; results of before do not say it."""
    return {
        outcome.names["agent"]: Wording.read(outcome.record["states"])
        for outcome in outcomes
        if "states" in outcome.record
    }


def describe_jobs(
    outcomes: list[Outcome], protocol: Protocol, ran: dict[str, Any]
) -> dict[str, Any]:
    """Describe the jobs, their machines, versions and cost, as plain data."""
    records = [outcome.record for outcome in outcomes if outcome.record]
    costs = [record["cost"] for record in records if "cost" in record]
    made = [record["made"] for record in records]
    measured = [record["states"] for record in records if "states" in record]
    return {
        "agents": list(dict.fromkeys(outcome.names["agent"] for outcome in outcomes)),
        "seeds": list(dict.fromkeys(outcome.names["seed"] for outcome in outcomes)),
        "explainers": list(dict.fromkeys(outcome.names["explainer"] for outcome in outcomes)),
        "metrics": protocol.metrics,
        "states": {
            "collected": protocol.n_states,
            "evaluated": protocol.n_evaluated,
            # a test part may have fewer, and agents may bring their states
            "measured": sorted({states["n"] for states in measured}),
            "brought": any(states["brought"] for states in measured),
            "own_probability": average_own_probabilities(outcomes),
            "notes": remove_duplicates(
                {"agent": outcome.names["agent"], "note": outcome.record["states"]["note"]}
                for outcome in outcomes
                if outcome.record.get("states", {}).get("note")
            ),
            "baseline": protocol.baseline,
            **protocol.collect_kwargs,
        },
        "training": protocol.fit_kwargs,
        "forwards": sum(cost["all_forwards"] for cost in costs),
        "seconds": sum(cost["all_seconds"] for cost in costs),
        "fit_seconds": sum(cost["fit_seconds"] for cost in costs),
        "run": ran,
        "failed": sum(bool(outcome.failure) for outcome in outcomes),
        # more than one of each where jobs ran on several machines, or over months
        "machines": remove_duplicates(
            {k: v for k, v in each.items() if k != "date"} for each in made
        ),
        "dates": sorted({each["date"] for each in made}),
        "tables": describe_machine(),
    }


def average_own_probabilities(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Return the mean over seeds of an agent's own probability of the targets, by agent."""
    found: dict[str, dict[int, float]] = {}
    for outcome in outcomes:
        measured = outcome.record.get("states", {})
        if "own_probability" in measured:  # results of before have none
            of_seeds = found.setdefault(outcome.names["agent"], {})
            of_seeds[outcome.names["seed"]] = measured["own_probability"]
    return {agent: sum(each.values()) / len(each) for agent, each in found.items()}


def write_statement(about: dict[str, Any], *, intervals: bool) -> str:
    """Write one line about the values, the machines and the cost, for the tables' captions.

    :param about: what :func:`describe_jobs` returns
    :param intervals: whether some mean has an interval
    """
    seeds = words.join_words([str(seed) for seed in about["seeds"]])
    states = about["states"]
    counts = states["measured"] or [states["evaluated"]]
    measured = " to ".join(str(n) for n in sorted({counts[0], counts[-1]}))
    collected = "" if states["brought"] else f" of {states['collected']}"
    machines = words.join_words(
        [
            f"{machine['processor']} ({machine['processors']} processors), "
            f"torch {machine['versions']['torch']}, {machine['threads']} thread(s) a job"
            for machine in about["machines"]
        ]
    )
    own = words.join_words([f"{p:.2f} ({agent})" for agent, p in states["own_probability"].items()])
    owned = f" The agent's own mean probability of the targets is {own}." if own else ""
    narrow = "".join(f" {each['agent']}: {each['note']}." for each in states["notes"])
    resampled = (
        " and 95 % interval, bootstrapped over (seed, episode) pairs, or blocks of 100 states "
        "where there are fewer than 10"
    )
    if not intervals:
        narrow = narrow.replace(NARROW, NO_INTERVALS)
    return (
        f"Mean{resampled if intervals else ''}; {measured} test "
        f"states{collected} for each seed ({seeds}); removed features become: "
        f"{states['baseline']}.{owned}{narrow} {machines}: {about['seconds']:,.0f} s and "
        f"{about['forwards']:,} forward passes for all jobs together."
    )


def list_rows(tables: dict[str, Table]) -> pd.DataFrame:
    """Return the joined tables, a row for each agent, explainer and metric."""
    return pd.DataFrame(
        [
            {"agent": agent, "explainer": explainer, "metric": metric, **estimate, **row["cost"]}
            for agent, table in tables.items()
            for explainer, row in table.items()
            for metric, estimate in row.items()
            if metric != "cost"
        ]
    )


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as Parquet or CSV, by the suffix of the path."""
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


def remove_duplicates(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each item once, in order."""
    unique: list[dict[str, Any]] = []
    for item in items:
        unique += [] if item in unique else [item]
    return unique
