"""The results of a grid's jobs as tables: a row for each seed, and all seeds joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sb3_explain.common.bootstrap import confidence_interval, make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import require_regular_file, require_within_limit
from sb3_explain.common.whole_table import WholeTable
from sb3_explain.workflows.benchmark.job import Job, read_result

#: kinds of NumPy's types of the columns that are read, by name
COLUMNS = {"metric": "O", "episode": "i", "step": "i", "value": "f"}
MAX_COLUMNS = 20
#: ``{"mean", "low", "high", "n"}`` by explainer and metric, and "cost" beside the metrics
Table = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """A job and its result.

    :param job: the job
    :param record: content of its JSON; empty if it failed
    :param values: a row for each metric and state; empty if it was not run
    :param failure: why it failed, in one line
    """

    job: Job
    record: Mapping[str, Any]
    values: pd.DataFrame
    failure: str = ""

    @property
    def note(self) -> str:
        """Why there are no values, in one line; empty if there are."""
        if self.failure:
            return f"failed: {self.failure}"
        reason = self.record.get("not_run")
        return f"not run: {reason}" if reason else ""

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that were measured."""
        return list(self.record.get("cost", {}).get("metric_forwards", []))

    @property
    def names(self) -> dict[str, Any]:
        """Names of the agent and the explainer, and the seed: the columns that identify a job."""
        cell = self.job.cell
        return {"agent": cell.agent.name, "explainer": self.job.row, "seed": cell.seed}

    def clusters(self) -> NDArray[np.int64]:
        """Return the source and the episode of each value's state, (2, rows).

        Every seed plays episodes of its own, but states that come with an agent are the same under
        every seed.
        """
        source = -1 if self.record["states"]["brought"] else self.job.cell.seed
        episode = self.values["episode"].to_numpy(np.int64)
        return np.stack([np.full(len(episode), source, dtype=np.int64), episode])


def read_outcomes(jobs: Iterable[Job], failures: Mapping[Job, str]) -> list[Outcome]:
    """Read the results of all jobs.

    :param jobs: all jobs of a grid
    :param failures: why some have failed
    :raises ExplainError: if a file is damaged
    """
    outcomes = []
    for job in jobs:
        record = {} if job in failures else read_result(job.result)
        run = record and "not_run" not in record
        values = read_values(job, record) if run else pd.DataFrame()
        outcomes.append(Outcome(job, record, values, failures.get(job, "")))
    return outcomes


def read_values(job: Job, record: Mapping[str, Any]) -> pd.DataFrame:
    """Read the values of a job.

    :param job: the job
    :param record: its result
    :raises ExplainError: if the file is missing or damaged, or has other rows than the result says
    """
    path, metrics = job.values, list(record["cost"]["metric_forwards"])
    rows = len(metrics) * record["states"]["n"]
    try:
        require_within_limit(require_regular_file(path), str(path))
        import pyarrow.parquet

        # a small file may say any number of rows
        described = pyarrow.parquet.read_metadata(path)
        if described.num_rows == rows and described.num_columns <= MAX_COLUMNS:
            values = pd.read_parquet(path)
            kinds = [kind.kind for kind in values[list(COLUMNS)].dtypes]
            whole = kinds == list(COLUMNS.values()) and set(values["metric"]) == set(metrics)
            if whole or not rows:  # no metric is for this agent
                return values
    except (OSError, ValueError, KeyError, ArithmeticError, MemoryError) as error:
        raise ExplainError(f"{path} is damaged: delete it and run again") from error
    raise ExplainError(f"{path} is damaged (it lacks values): delete it and run again")


def list_seeds(outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """Return a row for each agent, explainer, seed and metric; one with a note for a job not run.

    The columns are the names, those of :meth:`sb3_explain.Evaluation.table`, and ``note``.
    """
    lines: list[dict[str, Any]] = []
    for outcome in outcomes:
        if outcome.note:
            lines.append({**outcome.names, "note": outcome.note})
            continue
        states, cost = outcome.record["states"], outcome.record["cost"]
        failed = outcome.record.get("failed", {})
        for metric in outcome.metrics:
            lines.append(
                {
                    **outcome.names,
                    "metric": metric,
                    **compute_interval([outcome], metric),
                    "states": states["n"],
                    "episodes": states["episodes"],
                    **{key: cost[key] for key in ("forwards", "seconds", "fit_seconds")},
                    "metric_forwards": cost["metric_forwards"][metric],
                    "metric_seconds": cost["metric_seconds"][metric],
                    "note": f"failed: {failed[metric]}" if metric in failed else "",
                }
            )
    return WholeTable(lines)


def join_seeds(outcomes: Iterable[Outcome]) -> dict[str, Table]:
    """Return mean and interval over the states of all seeds, by agent, explainer and metric.

    ``cost``, beside the metrics, has forward passes and seconds per state, and seconds of fitting
    per seed. An explainer without values has no metrics.
    """
    tables: dict[str, Table] = {}
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        names = outcome.names
        group = groups.setdefault((names["agent"], names["explainer"]), [])
        group += [] if outcome.note else [outcome]
    for (agent, explainer), group in groups.items():
        row = tables.setdefault(agent, {}).setdefault(explainer, {})
        if not group:
            continue
        costs = [outcome.record["cost"] for outcome in group]
        n = sum(outcome.record["states"]["n"] for outcome in group)
        for metric in group[0].metrics:
            row[metric] = compute_interval(group, metric)
        row["cost"] = {
            "forwards": sum(cost["forwards"] for cost in costs) / n,
            "seconds": sum(cost["seconds"] for cost in costs) / n,
            "fit_seconds": sum(cost["fit_seconds"] for cost in costs) / len(costs),
        }
    return tables


def compute_interval(outcomes: Iterable[Outcome], metric: str) -> dict[str, Any]:
    """Return mean and bounds of a metric over the states of jobs that differ in their seed.

    The bootstrap resamples (seed, episode) pairs, or blocks of states where there are fewer than 10
    pairs.
    """
    values, sources, steps = [], [], []
    for outcome in outcomes:
        here = (outcome.values["metric"] == metric).to_numpy()
        values.append(outcome.values["value"].to_numpy()[here])
        sources.append(outcome.clusters()[:, here])
        steps.append(outcome.values["step"].to_numpy()[here])
    episodes = np.unique(np.concatenate(sources, axis=1), axis=1, return_inverse=True)[1].ravel()
    clusters = make_clusters(episodes, np.concatenate(steps))
    return confidence_interval(np.concatenate(values), clusters)._asdict()
