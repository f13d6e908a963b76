"""SAC, SVEA and SGQN on Reach of the robot study, reduced for two cores as bench_dmc is.

25,000 timesteps in place of 250,000 and one seed in place of five, with the reduced networks and
batches of bench_dmc: not the protocol of the paper. In float32, since bfloat16 is several times as
slow on processors that have no instructions for it. What is finished stays in
benchmarks/output/robot, so that a run that was stopped goes on.
"""

import shutil

from benchmarks.bench_dmc import DOCS, HERE, SETTINGS
from sb3_explain.workflows.pixel_training import run_robot

ALGOS, TASK, TIMESTEPS = ("sac", "svea", "sgqn"), "reach", 25_000


def run(record) -> None:
    output = HERE / "output" / "robot"
    results = run_robot(
        output, algos=ALGOS, tasks=[TASK], seeds=[0], timesteps=TIMESTEPS, part=2500,
        settings={**SETTINGS, "mixed_precision": False},
    )  # fmt: skip
    for row in results.itertuples():
        record(f"robot.{row.task}.{row.algo}.{row.mode}", row[5], "return")
        record(f"robot.{row.task}.{row.algo}.{row.mode}.success", row.success, "share")
    for made in ("curves.png", f"saliency_{TASK}.png"):
        shutil.copy(output / made, DOCS / "images" / f"robot_{made}")
    shutil.copy(output / "table.md", DOCS / "tables" / "robot.md")
