"""``run_benchmark``: agents x explainers x seeds, each job once, on any backend, resumable."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.common.controls import CONTROLS
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.files import atomic_path
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import argument_names, check_arguments
from sb3_explain.evaluation.metrics import METRICS, bind_options, find_base, needs
from sb3_explain.evaluation.targets import OF_QUANTITIES
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.states.baselines import BASELINES
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.benchmark.agents import NamedAgent, read_agent, read_source
from sb3_explain.workflows.benchmark.backends import Failure, Run, Task, open_backend
from sb3_explain.workflows.benchmark.job import Cell, Job, Protocol, needs_fit
from sb3_explain.workflows.benchmark.output import Benchmark, write_output
from sb3_explain.workflows.benchmark.results import read_outcomes
from sb3_explain.workflows.benchmark.steps import prepare, run_job

ALL = "all"

#: names, or options by name
Named = str | Iterable[str] | Mapping[str, Mapping[str, Any]]
#: name in tables, name in the registry, and settings of each explainer
Methods = list[tuple[str, str, dict[str, Any]]]


@check_arguments
def run_benchmark(
    agents: Iterable[str] | Mapping[str, str | Agent | tuple[Agent, StateDataset]],
    explainers: Named = ALL,
    metrics: Named = ALL,
    *,
    output: str | Path,
    seeds: Sequence[int] = (0,),
    n_states: int = 10_000,
    n_evaluated: int = 300,
    baseline: str = "background",
    collect_kwargs: Mapping[str, Any] | None = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    load_kwargs: Mapping[str, Any] | None = None,
    backend: str = "here",
    jobs: int | None = None,
    threads: int = 1,
    address: str | None = None,
    progress: bool = True,
) -> Benchmark:
    """Measure explainers of agents under several seeds, or continue where an earlier call stopped.

    A job is one explainer of one agent under one seed. Its result is a function of the job alone,
    and does not depend on the backend, the other jobs or their order. An explainer that learns has
    two more jobs, its controls ``template`` and ``swapped`` (see :func:`sb3_explain.evaluate`).

    >>> from sb3_explain import run_benchmark
    >>> benchmark = run_benchmark(
    ...     {"cartpole": (agent, states)}, ["gradient", "random"], ["sparseness"],
    ...     output=folder, n_evaluated=10, progress=False,
    ... )
    >>> list(benchmark.join_seeds()["cartpole"])
    ['gradient', 'random', 'empty', 'constant']

    :param agents: ``"demo"``, ``"<algo>:<env>"`` or ``"<package>.<module>:<function>"``, see
        :class:`~sb3_explain.workflows.benchmark.agents.NamedAgent`. A dict of names may also hold
        agents, or pairs of an agent and its states, which only this process can run
    :param explainers: ``"all"``, names, or settings by name. ``"mine=lime"`` gives a LIME the name
        ``mine``, so that the table may have one method with several settings. The controls
        ``empty``, ``constant``, ``random`` and ``gradient`` are measured in any case
    :param metrics: ``"all"``, names, or options by name
    :param output: folder for everything that is written; jobs with results in it are not repeated
    :param seeds: random seeds, each of the episodes, their split, the sample and the fits
    :param n_states: number of states to collect for each agent and seed
    :param n_evaluated: number of test states to measure on, for each agent and seed
    :param baseline: name of what a removed feature becomes, the same for every explainer
    :param collect_kwargs: further options of :func:`sb3_explain.collect`
    :param fit_kwargs: options of ``fit``, for explainers that learn
    :param load_kwargs: arguments of :func:`sb3_explain.load_agent`, for agents of the zoo
    :param backend: ``"here"``, ``"processes"`` or ``"ray"``
    :param jobs: number of jobs at once; as many as there are processors when not given
    :param threads: number of torch's threads in each job
    :param address: address of a Ray cluster; Ray is started on this machine when not given
    :param progress: show progress bars
    :return: all results, and which jobs failed; the same call repeats those
    :raises ExplainError: if pyarrow is not installed, for a mistake in the arguments, or if the
        folder holds results of other settings
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ExplainError("a benchmark needs pyarrow: pip install 'sb3_explain[benchmark]'")
    named = read_agents(agents, load_kwargs or {})
    methods = add_controls(read_explainers(explainers))
    protocol = Protocol(
        metrics=read_metrics(metrics),
        n_states=n_states,
        n_evaluated=n_evaluated,
        baseline=baseline,
        collect_kwargs=dict(collect_kwargs or {}),
        fit_kwargs=dict(fit_kwargs or {}),
    )
    BASELINES[baseline]
    if not named or not methods or not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ExplainError("give at least one agent, one explainer, and seeds that differ")
    if n_states < 1 or n_evaluated < 1:
        raise ExplainError(f"n_states={n_states}, n_evaluated={n_evaluated}: give at least 1")
    if backend != "here" and not all(agent.movable for agent in named):
        raise ExplainError(
            f"backend {backend!r} needs agents by name, such as 'ppo:CartPole-v1': an agent at "
            "hand can only be explained in this process"
        )
    output = Path(output).resolve()
    cells = [Cell(agent, seed, protocol, output) for agent in named for seed in seeds]
    explained = [Job(cell, *method) for cell in cells for method in methods]
    every = [each for job in explained for each in (job, *job.make_controls())]
    # Refuse to mix results before anything is written.
    left = [job for job in every if not job.is_done()]
    gpus = int(str((load_kwargs or {}).get("device", "")).startswith("cuda"))
    with open_backend(backend, jobs=jobs, threads=threads, address=address, gpus=gpus) as run:
        lost = execute(run, prepare, cells, "states", progress)
        failures: dict[Job, str] = {
            job: lost[job.cell] for job in left if job.cell in lost and not job.control
        }
        # Those that learn take longest: started last, one would keep all others waiting.
        todo = sorted(
            (job for job in left if job.cell not in lost and not job.control),
            key=lambda job: not needs_fit(job),
        )
        failures |= execute(run, run_job, todo, "jobs", progress)
        # What has no values has no controls; of the others the explainer is fitted by now.
        measured = {(job.cell, job.name) for job in explained if job.values.exists()}
        every = [job for job in every if not job.control or (job.cell, job.name) in measured]
        controls = [job for job in every if job.control and job in left]
        failures |= execute(run, run_job, controls, "controls", progress)
        todo += controls
    ran = {"backend": backend, "threads": threads, "jobs": len(every), "run now": len(todo)}
    return write_output(output, read_outcomes(every, failures), protocol, ran)


def execute(
    run: Run, task: Task, items: Sequence[Any], title: str, progress: bool
) -> dict[Any, str]:
    """Run a task on cells or jobs with a progress bar; return why some failed, in a line each."""
    failures = {}
    with progress_bar(title, len(items), "jobs", progress) as bar:
        for item, failure in run(task, items):
            bar.update()
            if failure is None:
                item.error.unlink(missing_ok=True)
            else:
                failures[item] = report_failure(item.error, failure)
    return failures


def report_failure(path: Path, failure: Failure) -> str:
    """Return one line for the user, and write the traceback to a file."""
    if not failure.details:
        return failure.line
    with atomic_path(path) as temporary:
        temporary.write_text(failure.details, encoding="utf-8")
    return f"{failure.line} (see {path})"


def read_agents(
    agents: Iterable[str] | Mapping[str, str | Agent | tuple[Agent, StateDataset]],
    load_kwargs: Mapping[str, Any],
) -> list[NamedAgent]:
    """Return the agents of a benchmark with their names.

    :raises ExplainError: for a bad name, or if two agents would share a folder
    """
    if isinstance(agents, str) or not isinstance(agents, Iterable):
        agents = [agents]
    agents = agents if isinstance(agents, Mapping) else list(agents)
    for source in agents.values() if isinstance(agents, Mapping) else agents:
        if not isinstance(source, str):
            read_source(source)
            if not isinstance(agents, Mapping):
                raise ExplainError("this agent has no name: give a dict, such as {'mine': agent}")
    if isinstance(agents, Mapping):
        named = [
            read_agent(f"{name}={source}", load_kwargs)
            if isinstance(source, str)
            else NamedAgent(name, read_source(source))
            for name, source in agents.items()
        ]
    else:
        named = [read_agent(text, load_kwargs) for text in agents]
    folders = [agent.folder for agent in named]
    for agent in named:
        if not agent.folder or folders.count(agent.folder) > 1:
            raise ExplainError(
                f"two agents are called {agent.name!r}, or nearly so: name them as in mine=demo"
            )
    return named


def read_explainers(explainers: Named) -> Methods:
    """Return the name in tables, the name in the registry, and the settings of each explainer.

    :raises ExplainError: for an unknown explainer or setting; the nearest is suggested
    """
    methods: Methods = []
    for text, settings in read_options(explainers, EXPLAINERS).items():
        name, _, explainer = text.rpartition("=")
        name = name or explainer
        if not name.replace("-", "_").isidentifier() or name == "states":
            raise ExplainError(f"{name!r} is no name for a file: use letters, digits, _ and -")
        if not issubclass(EXPLAINERS[explainer], MaskExplainer):  # those check their own settings
            known = argument_names(EXPLAINERS[explainer]) - {"agent", "states"}
            require_known(f"setting of {explainer}", settings, known)
        methods.append((name, explainer, dict(settings)))
    if len({name for name, *_ in methods}) < len(methods):
        raise ExplainError("two explainers have the same name: name them as in mine=lime")
    return methods


def add_controls(methods: Methods) -> Methods:
    """Add the controls that were not named, since a table without them shows nothing."""
    named = {name for name, *_ in methods}
    return methods + [(name, name, {}) for name in CONTROLS if methods and name not in named]


def read_metrics(metrics: Named) -> dict[str, dict[str, Any]]:
    """Return the options of each metric by name.

    :raises ExplainError: for an unknown metric or option, or one that needs more than states
    """
    options = read_options(metrics, METRICS)
    asked = {metrics} if isinstance(metrics, str) else set(metrics)
    chosen: dict[str, dict[str, Any]] = {}
    for name, metric in bind_options(options).items():
        lacking = ""
        if "boxes" in needs(metric):
            lacking = "needs boxes of objects, which a grid has not: call evaluate(boxes=...)"
        elif find_base(name) in OF_QUANTITIES:
            lacking = (
                "is no metric of actions, which a grid explains: call evaluate(target='value')"
            )
        if lacking and name in asked:
            raise ExplainError(f"{name} {lacking}")
        if not lacking:
            chosen[name] = options[name]
    return chosen


def read_options(named: Named, registry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return options by name; ``"all"`` stands for every name of the registry."""
    if isinstance(named, str):
        named = [named]
    if isinstance(named, Mapping):
        options = {name: dict(given) for name, given in named.items()}
    else:
        options = {name: {} for name in named}
    if ALL in options:
        common = options.pop(ALL)
        options = {**{name: dict(common) for name in registry}, **options}
    return options
