"""The two steps of a grid: collect the states of a cell, and run each of its jobs."""

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
from sb3_explain.common.files import atomic_path, write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.schema import read_document, record
from sb3_explain.common.signatures import argument_names
from sb3_explain.evaluation.controls import make_own_controls
from sb3_explain.evaluation.kind import describe_kind
from sb3_explain.evaluation.measuring import Measuring, Row
from sb3_explain.evaluation.metrics import bind_options
from sb3_explain.evaluation.notes import note_if_narrow
from sb3_explain.evaluation.others import OtherStates, own_preference
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.explainers.learned.fitted import load_or_fit
from sb3_explain.explainers.make import make_unfitted
from sb3_explain.states.baselines import fit_baselines
from sb3_explain.states.blends import apply_baselines
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK
from sb3_explain.workflows.benchmark.job import FORMAT, Cell, Job
from sb3_explain.workflows.splitting import split_states


def prepare(cell: Cell) -> None:
    """Collect the states of a cell, unless they exist or come with the agent.

    :raises ExplainError: if the agent cannot be loaded or played, or the folder holds results of
        another agent
    """
    agent, brought = cell.agent.load()
    card = cell.folder.parent / "agent.json"
    described = {"name": cell.agent.name, **agent.describe()}
    if brought is not None:
        described["states_sha256"] = brought.fingerprint()
    if card.exists():
        stored = read_document(card, record({}), "delete it and run again")
        for key in ("name", "weights_sha256", "states_sha256"):
            if stored.get(key) != described.get(key):
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
    """Fit and measure the explainer of a job, and write its two files.

    The values are a function of the job alone: they do not depend on where or when it runs.
    """
    start_time = time.perf_counter()
    cell, protocol = job.cell, job.cell.protocol
    agent, brought = cell.agent.load()
    forwards = agent.forwards
    result: dict[str, Any] = {"format": FORMAT, "job": job.identity(), "agent": agent.describe()}
    reason = EXPLAINERS[job.explainer].unsupported(agent)
    if reason is not None:
        write_json(job.result, {**result, "not_run": reason, "made": describe_machine()})
        return
    states = StateDataset.open(cell.folder / "states") if brought is None else brought
    train, validation, test = split_states(states, cell.seed)
    explainer = make_job_explainer(job, agent, train, validation)
    sample = test.sample(protocol.n_evaluated, cell.seed)  # the same for every explainer
    row, own_probability = measure(job, explainer, train, test.subset(sample))
    episodes = len(np.unique(test.episode[sample]))
    with atomic_path(job.values) as path:
        make_frame(job, row.values, test, sample).to_parquet(path, index=False)
    write_json(
        job.result,
        {
            **result,
            "states": {
                "n": len(sample),
                "test": len(test),
                "episodes": episodes,
                "brought": brought is not None,
                "own_probability": own_probability,
                **describe_kind(test.batch(agent, sample[:1])),
                "note": note_if_narrow(len(sample), len(test), episodes),
            },
            "failed": row.failures,
            "curves": {metric: curve.tolist() for metric, curve in row.curves.items()},
            "cost": {
                "forwards": row.explaining.forwards,
                "seconds": row.explaining.seconds,
                "fit_seconds": row.fit_seconds,
                "metric_forwards": {name: cost.forwards for name, cost in row.measuring.items()},
                "metric_seconds": {name: cost.seconds for name, cost in row.measuring.items()},
                "all_forwards": agent.forwards - forwards,
                "all_seconds": time.perf_counter() - start_time,
            },
            "made": describe_machine(),
        },
    )


def measure(
    job: Job, explainer: Explainer, train: StateDataset, test: StateDataset
) -> tuple[Row, float]:
    """Measure one explainer, or its control, as :func:`sb3_explain.evaluate` does.

    Its row comes with the agent's own mean probability of the targets on the test states.

    Controls are jobs of their own here, and take what the explainer of the same name
    learned. The baseline is fitted on training states, so that it is the same for every explainer.
    """
    protocol, agent = job.cell.protocol, explainer.agent
    baselines = fit_baselines(protocol.baseline, train, agent)
    parts = np.array_split(np.arange(len(test)), range(CHUNK, len(test), CHUNK))
    targets = [test.batch(agent, some).find_default_targets().cpu().numpy() for some in parts]
    every = np.arange(len(test))
    others = OtherStates(agent, test, every, np.concatenate(targets), job.cell.seed)
    if job.control:
        explainer = make_own_controls(explainer, train, others)[job.control]
    measuring = Measuring(explainer, bind_options(protocol.metrics), job.cell.seed, others)
    own = []
    for some in parts:
        batch = test.batch(agent, some, cache=ForwardCache()).resolve_target()
        own.append(own_preference(batch).double().cpu().numpy())
        measuring.add(batch, apply_baselines(baselines, batch))
    row = measuring.row()
    if row.failed and measuring.first_error is not None:
        raise measuring.first_error  # the job failed, and the same command runs it again
    return row, float(np.concatenate(own).mean())


def make_job_explainer(
    job: Job, agent: Agent, train: StateDataset, validation: StateDataset
) -> Explainer:
    """Make the explainer of a job; one that learns is fitted, or loaded if it was fitted before.

    Settings of the user take precedence over the cell's seed and the protocol's baseline, which is
    also that of explainers that learn: masks that were learned for another one are measured on
    states that they were not made for.
    """
    kind, options = EXPLAINERS[job.explainer], dict(job.settings)
    if "seed" in argument_names(kind):
        options.setdefault("seed", job.cell.seed)
    if kind.takes_baseline or issubclass(kind, MaskExplainer):
        options.setdefault("baseline", job.cell.protocol.baseline)
    made = make_unfitted(job.explainer, agent, train, **options)
    if not isinstance(made, FittedExplainer):
        return made
    fit_kwargs = {"seed": job.cell.seed, "progress": False, **job.cell.protocol.fit_kwargs}
    return load_or_fit(made, job.cell.folder / job.name, train, validation, fit_kwargs)


def make_frame(
    job: Job, values: Mapping[str, NDArray[Any]], test: StateDataset, sample: NDArray[np.int64]
) -> pd.DataFrame:
    """Return a row for each metric and state.

    :param job: the job
    :param values: (n,) values of the sampled states by metric
    :param test: the states that were sampled from
    :param sample: (n,) positions in ``test``
    """
    state = {
        "state": test.indices[sample],
        "episode": test.episode[sample],
        "step": number_steps(test.episode)[sample],
    }
    names = {"agent": job.cell.agent.name, "explainer": job.row, "seed": job.cell.seed}
    parts = [
        pd.DataFrame({**names, "metric": metric, **state, "value": column})
        for metric, column in values.items()
    ]
    columns = [*names, "metric", *state, "value"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)
