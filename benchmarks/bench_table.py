"""The table of the VisionMask paper, with SSINet: seven methods on the demo agent and on Mario 1-1.

What is finished stays in benchmarks/output (or in the folder that SB3_EXPLAIN_TABLE names), so that
a run that was stopped goes on. The tables are written to docs/tables. Mario needs its data, in the
folder that SB3_EXPLAIN_AGENTS names.
"""

import importlib
import os
import sys
from pathlib import Path

from sb3_explain.workflows.benchmark import Benchmark, run_benchmark

HERE = Path(__file__).resolve().parent
METHODS = ("visionmask", "stalder", "ssinet", "greydanus", "sarfa", "lime", "rise")
OTHERS = ("gradient", "integrated_gradients", "random", "constant", "empty")
METRICS = (
    "accuracy", "accuracy@0.1", "deletion", "insertion", "local_lipschitz", "sparseness",
    "mask_area",
)  # fmt: skip
#: the paper's claim: the method's rank among the seven is at most this
CLAIMS = {"accuracy": 1, "insertion": 1, "deletion": 2}
#: metrics of which less is better
FALLING = ("deletion",)
N_EVALUATED = 150


def run(record) -> None:
    output = Path(os.environ.get("SB3_EXPLAIN_TABLE", HERE / "output"))
    report(record, "pong", table(output, "pong", "demo", "background", 8))
    data = Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1"
    if not (data / "policy.safetensors").exists():
        print("table of Mario: not run (SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1)")
        return
    report(record, "mario", table(output, "mario", mario(data), "most_frequent", 8))


def mario(data: Path):
    """The agent and the states of examples/super_mario.py."""
    sys.path.insert(0, str(HERE.parent / "examples"))
    return importlib.import_module("super_mario").load(data)


def table(output: Path, name: str, agent, baseline: str, epochs: int) -> Benchmark:
    explainers = {method: {} for method in (*METHODS, *OTHERS)}
    # Masks are learned with the baseline that they are then measured with.
    explainers |= {method: {"baseline": baseline} for method in METHODS[:3]}
    made = run_benchmark(
        {name: agent},
        explainers,
        METRICS,
        output=output / name,
        baseline=baseline,
        n_evaluated=N_EVALUATED,
        fit_kwargs={"epochs": epochs},
        threads=1,
    )
    tables = HERE.parent / "docs" / "tables"
    tables.mkdir(exist_ok=True)
    (tables / f"{name}.md").write_text((output / name / "benchmark.md").read_text())
    return made


def report(record, name: str, made: Benchmark) -> None:
    lines = made.table()
    for line in lines.itertuples():
        record(f"table.{name}.{line.explainer}.{line.metric}", line.mean, "share")
    for metric, rank in CLAIMS.items():
        of_metric = lines[(lines.metric == metric) & lines.explainer.isin(METHODS)]
        ranks = of_metric.set_index("explainer")["mean"].rank(
            ascending=metric in FALLING, method="min"
        )
        record(f"table.{name}.visionmask_rank.{metric}", ranks["visionmask"], "rank", f"<= {rank}")
