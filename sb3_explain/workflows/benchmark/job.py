"""A cell of the grid, an agent and a seed, and a job in it: an explainer or a control to measure.

A cell's folder, ``<output>/<agent>/seed_<seed>``, holds ``states/``, a folder for each explainer
that learns, and for each row ``<row>.parquet``, the values of every state, and ``<row>.json``,
their cost. The JSON is written last, so that its presence means that the job is done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sb3_explain.common.controls import OWN_CONTROLS
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import (
    NAME,
    flag,
    number,
    optional,
    read_document,
    record,
    require_form,
    table,
    text,
    whole,
)
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.workflows.benchmark.agents import NamedAgent

FORMAT = 2
_seconds = number(0)
_RESULT = record(
    {
        "format": whole(),
        "job": record({}),
        "made": record(
            {
                "date": text(100),
                "processor": text(NAME),
                "processors": optional(whole()),
                "threads": whole(),
                "versions": record({"torch": text(100)}),
            }
        ),
    },
    {"not_run": text()},
)
_MEASURED = record(
    {
        "states": record({"n": whole(1), "episodes": whole(1), "brought": flag}),
        "cost": record(
            {
                "forwards": number(0),
                "seconds": _seconds,
                "fit_seconds": _seconds,
                "metric_forwards": table(number(0)),
                "metric_seconds": table(_seconds),
                "all_forwards": whole(),
                "all_seconds": _seconds,
            }
        ),
    }
)


@dataclass(frozen=True, eq=False)
class Protocol:
    """Settings that all cells of a grid share.

    :param metrics: options of metrics by name
    :param n_states: number of states to collect for each agent and seed
    :param n_evaluated: number of test states to measure on, a random sample
    :param baseline: name of what a removed feature becomes, the same for every explainer
    :param collect_kwargs: further options of :func:`sb3_explain.collect`
    :param fit_kwargs: options of ``fit``, for explainers that learn
    """

    metrics: dict[str, dict[str, Any]]
    n_states: int = 10_000
    n_evaluated: int = 300
    baseline: str = "background"
    collect_kwargs: dict[str, Any] = field(default_factory=dict)
    fit_kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Cell:
    """An agent and a seed, whose states all explainers share.

    :param agent: the agent with its name
    :param seed: random seed of the episodes, their split, the sample and the fits
    :param protocol: settings of the grid
    :param output: folder of the grid
    """

    agent: NamedAgent
    seed: int
    protocol: Protocol
    output: Path

    @property
    def folder(self) -> Path:
        """Folder of the cell."""
        return self.output / self.agent.folder / f"seed_{self.seed}"

    @property
    def error(self) -> Path:
        """Path of the traceback of a failure."""
        return self.folder / "states.error.txt"


@dataclass(frozen=True, eq=False)
class Job:
    """One explainer in one cell, or a control of one that learns.

    :param cell: the cell of the job
    :param name: name of the explainer in tables, figures and files
    :param explainer: name of the explainer in the registry
    :param settings: arguments of the explainer besides the agent and the seed
    :param control: which control of the explainer is measured in its place; empty for none
    """

    cell: Cell
    name: str
    explainer: str
    settings: dict[str, Any] = field(default_factory=dict)
    control: str = ""

    @property
    def row(self) -> str:
        """Name of the row in tables, such as ``"visionmask template"``."""
        return f"{self.name} {self.control}".rstrip()

    @property
    def result(self) -> Path:
        """Path of the result, which exists once the job is done."""
        return self.cell.folder / f"{self.row}.json"

    @property
    def values(self) -> Path:
        """Path of the values of every state."""
        return self.cell.folder / f"{self.row}.parquet"

    @property
    def error(self) -> Path:
        """Path of the traceback of a failure."""
        return self.cell.folder / f"{self.row}.error.txt"

    def make_controls(self) -> list[Job]:
        """Make the jobs of the explainer's own controls; one that does not learn has none."""
        return [replace(self, control=name) for name in OWN_CONTROLS if needs_fit(self)]

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the result, as plain data."""
        protocol = self.cell.protocol
        decides = {
            "agent": self.cell.agent.name,
            "seed": self.cell.seed,
            "explainer": self.explainer,
            "settings": self.settings,
            "training": protocol.fit_kwargs if needs_fit(self) else {},
            "metrics": protocol.metrics,
            "states": [protocol.n_states, protocol.n_evaluated],
            "collecting": protocol.collect_kwargs,
            "baseline": protocol.baseline,
            **({"control": self.control} if self.control else {}),
        }
        plain: dict[str, Any] = json.loads(json.dumps(decides, default=str))
        return plain

    def is_done(self) -> bool:
        """Return whether there is a result.

        :raises ExplainError: if there is the result of a job with other settings
        """
        if not self.result.exists():
            return False
        stored = read_result(self.result)
        identity = self.identity()
        if stored.get("format") != FORMAT or stored.get("job") != identity:
            changed = [key for key in identity if stored.get("job", {}).get(key) != identity[key]]
            raise ExplainError(
                f"{self.result} was made with other {', '.join(changed) or 'settings'}: choose "
                f"another output folder, or delete {self.cell.folder}"
            )
        return "not_run" in stored or self.values.exists()


def read_result(path: Path) -> dict[str, Any]:
    """Read the result of a job.

    :raises ExplainError: if it is missing or damaged
    """
    remedy = "delete it and run again"
    result: dict[str, Any] = read_document(path, _RESULT, remedy)
    if "not_run" not in result:
        require_form(result, _MEASURED, str(path), remedy)
        cost = result["cost"]
        of_metrics = record(dict.fromkeys(cost["metric_forwards"], _seconds))
        require_form(cost["metric_seconds"], of_metrics, f"{path} (metric_seconds)", remedy)
    return result


def needs_fit(job: Job) -> bool:
    """Return whether the job's explainer has to be fitted."""
    return issubclass(EXPLAINERS[job.explainer], FittedExplainer)
