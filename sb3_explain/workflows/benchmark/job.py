"""One cell of the grid: an explainer of an agent, measured on the states of a seed.

A cell's folder, ``<output>/<agent>/seed_<seed>``, holds ``states/``, a folder for each explainer
that learns, and for each explainer ``<name>.parquet``, the values of every state, and
``<name>.json``, what they cost. The JSON is written last: where it stands, the job is done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import read_json
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.workflows.benchmark.agents import NamedAgent

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Protocol:
    """What is the same in all cells of a grid.

    :param metrics: options by name
    :param n_states: states to collect for each agent and seed
    :param n_evaluated: of the states that nothing has learned from, a random sample of this many
    :param baseline: name of what a removed cell becomes, for every explainer the same
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

    :param agent: who
    :param seed: of the episodes, of their split, of the sample, and of all that is fitted
    :param protocol: how
    :param output: folder of the whole grid
    """

    agent: NamedAgent
    seed: int
    protocol: Protocol
    output: Path

    @property
    def folder(self) -> Path:
        """Where all of it stands."""
        return self.output / self.agent.folder / f"seed_{self.seed}"

    @property
    def error(self) -> Path:
        """The traceback of a failure."""
        return self.folder / "states.error.txt"


@dataclass(frozen=True, eq=False)
class Job:
    """One explainer in one cell.

    :param cell: where
    :param name: in tables, figures and files
    :param explainer: as the registry has it
    :param settings: arguments of the explainer besides the agent and the seed
    """

    cell: Cell
    name: str
    explainer: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> Path:
        """The file that stands where the job is done."""
        return self.cell.folder / f"{self.name}.json"

    @property
    def values(self) -> Path:
        """The values of every state."""
        return self.cell.folder / f"{self.name}.parquet"

    @property
    def error(self) -> Path:
        """The traceback of a failure."""
        return self.cell.folder / f"{self.name}.error.txt"

    def identity(self) -> dict[str, Any]:
        """What decides the result, as JSON holds it."""
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
        }
        plain: dict[str, Any] = json.loads(json.dumps(decides, default=str))
        return plain

    def is_done(self) -> bool:
        """Whether there is a result.

        :raises ExplainError: if there is one of a job with other settings
        """
        if not self.result.exists():
            return False
        kept = read_json(self.result)
        identity = self.identity()
        if kept.get("format") != FORMAT or kept.get("job") != identity:
            changed = [key for key in identity if kept.get("job", {}).get(key) != identity[key]]
            raise ExplainError(
                f"{self.result} was made with other {', '.join(changed) or 'settings'}: choose "
                f"another output folder, or delete {self.cell.folder}"
            )
        return "not_run" in kept or self.values.exists()


def needs_fit(job: Job) -> bool:
    """Whether its explainer has to be fitted."""
    return issubclass(EXPLAINERS[job.explainer], FittedExplainer)
