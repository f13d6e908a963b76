"""What is done for a cell, once, and then for each of its jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.common.bootstrap import number_steps
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path, read_json, write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import argument_names
from sb3_explain.evaluation.measuring import Measuring, Row
from sb3_explain.evaluation.metrics import bind_options
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.learned.fitted import load_or_fit
from sb3_explain.explainers.make import make_unfitted
from sb3_explain.states.baselines import apply_baselines, fit_baselines
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK
from sb3_explain.workflows.benchmark.job import FORMAT, Cell, Job


def prepare(cell: Cell) -> None:
    """Collect the states of a cell, unless they are there or the agent brings them.

    :raises ExplainError: if the agent cannot be loaded or played, or is another than that whose
        results stand in the folder
    """
    agent, brought = cell.agent.load()
    card = cell.folder.parent / "agent.json"
    described = {"name": cell.agent.name, **agent.describe()}
    if brought is not None:
        described["states_sha256"] = brought.fingerprint()
    if card.exists():
        kept = read_json(card)
        for key in ("name", "weights_sha256", "states_sha256"):
            if kept.get(key) != described.get(key):
                raise ExplainError(
                    f"{card.parent} holds results of another agent ({key} differs): choose "
                    "another output folder, or delete this one"
                )
    else:
        write_json(card, described)
    if brought is None:
        protocol = cell.protocol
        collect(
            agent,
            n_states=protocol.n_states,
            folder=cell.folder / "states",
            seed=cell.seed,
            render=False,
            progress=False,
            **protocol.collect_kwargs,
        )


def run_job(job: Job) -> None:
    """Fit, explain and measure; write the two files.

    A function of the job alone: neither where nor when it runs changes a value.
    """
    began = time.perf_counter()
    cell, protocol = job.cell, job.cell.protocol
    agent, brought = cell.agent.load()
    forwards = agent.forwards
    result: dict[str, Any] = {"format": FORMAT, "job": job.identity(), "agent": agent.describe()}
    reason = EXPLAINERS[job.explainer].unsupported(agent)
    if reason is not None:
        write_json(job.result, {**result, "not_run": reason, "made": describe_machine()})
        return
    states = StateDataset.open(cell.folder / "states") if brought is None else brought
    train, validation, test = states.split(seed=cell.seed)
    explainer = make(job, agent, train, validation)
    sample = test.sample(protocol.n_evaluated, cell.seed)  # the same for every explainer
    row = measure(job, explainer, train, test.subset(sample))
    with atomic_path(job.values) as path:
        tidy(job, row.values, test, sample).to_parquet(path, index=False)
    write_json(
        job.result,
        {
            **result,
            "states": {
                "n": len(sample),
                "test": len(test),
                "episodes": len(np.unique(test.episode[sample])),
                "brought": brought is not None,
            },
            "curves": {metric: curve.tolist() for metric, curve in row.curves.items()},
            "cost": {
                "forwards": row.explaining.forwards,
                "seconds": row.explaining.seconds,
                "fit_seconds": row.fit_seconds,
                "metric_forwards": {name: cost.forwards for name, cost in row.measuring.items()},
                "metric_seconds": {name: cost.seconds for name, cost in row.measuring.items()},
                "all_forwards": agent.forwards - forwards,
                "all_seconds": time.perf_counter() - began,
            },
            "made": describe_machine(),
        },
    )


def measure(job: Job, explainer: Explainer, train: StateDataset, test: StateDataset) -> Row:
    """One row of :func:`sb3_explain.evaluate`, without the rows that it adds for comparison.

    They are jobs of their own here. The baseline is fitted on the states that may be learned from,
    so that it is the same for every explainer.
    """
    protocol, agent = job.cell.protocol, explainer.agent
    baselines = fit_baselines(protocol.baseline, train)
    measuring = Measuring(explainer, bind_options(protocol.metrics), job.cell.seed)
    for some in np.array_split(np.arange(len(test)), range(CHUNK, len(test), CHUNK)):
        batch = test.batch(agent, some, cache=ForwardCache()).resolve_target()
        measuring.add(batch, apply_baselines(baselines, batch))
    return measuring.row()


def make(job: Job, agent: Agent, train: StateDataset, validation: StateDataset) -> Explainer:
    """The job's explainer; one that learns is fitted, or read where it was fitted before.

    What the user has set counts before the seed of the cell and the baseline of the protocol.
    """
    kind, options = EXPLAINERS[job.explainer], dict(job.settings)
    if "seed" in argument_names(kind):
        options.setdefault("seed", job.cell.seed)
    if kind.takes_baseline:
        options.setdefault("baseline", job.cell.protocol.baseline)
    made = make_unfitted(job.explainer, agent, train, **options)
    if not isinstance(made, FittedExplainer):
        return made
    fit_kwargs = {"seed": job.cell.seed, "progress": False, **job.cell.protocol.fit_kwargs}
    return load_or_fit(made, job.cell.folder / job.name, train, validation, fit_kwargs)


def tidy(
    job: Job, values: Mapping[str, NDArray[Any]], test: StateDataset, sample: NDArray[np.int64]
) -> pd.DataFrame:
    """A line for each metric and state.

    :param values: per metric, (n,) values of the sampled states
    :param test: the states that were sampled
    :param sample: (n,) positions in ``test``
    """
    state = {
        "state": test.indices[sample],
        "episode": test.episode[sample],
        "step": number_steps(test.episode)[sample],
    }
    names = {"agent": job.cell.agent.name, "explainer": job.name, "seed": job.cell.seed}
    parts = [
        pd.DataFrame({**names, "metric": metric, **state, "value": column})
        for metric, column in values.items()
    ]
    columns = [*names, "metric", *state, "value"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)
