"""Tables of returns in the layout of the paper's tables 1 and 2, with the paper's results."""

from __future__ import annotations

from importlib import resources

import pandas as pd

from sb3_explain.envs.dmc.ids import MODES, TASKS
from sb3_explain.workflows.pixel_training.recipes import RECIPES


def read_published() -> pd.DataFrame:
    """Read the paper's results: mean and standard deviation of five seeds (tables 1 and 2)."""
    with resources.files("sb3_explain.envs.dmc").joinpath("published.csv").open() as file:
        return pd.read_csv(file)


def write_table(results: pd.DataFrame) -> str:
    """Write our returns in Markdown, with the paper's below in italics.

    :param results: what :func:`run_dmc` returned; means and standard deviations are over seeds
    """
    algos = [name for name in RECIPES if name in set(results["algo"])]
    paper = {(row.task, row.mode, row.algo): row for row in read_published().itertuples()}
    lines = [
        "| mode | task | | " + " | ".join(algos) + " |",
        "|---" * 3 + "|---:" * len(algos) + "|",
    ]
    for mode in [name for name in MODES if name in set(results["mode"])]:
        for task in [name for name in TASKS if name in set(results["task"])]:
            ours, theirs = [], []
            for algo in algos:
                some = results.query("task == @task and mode == @mode and algo == @algo")["return"]
                spread = f" ± {some.std(ddof=0):.0f}" if len(some) > 1 else ""
                ours.append(f"{some.mean():.0f}{spread}" if len(some) else "")
                row = paper.get((task, mode, algo))
                theirs.append("" if row is None else f"*{row.mean} ± {row.std}*")
            lines.append(f"| {mode} | {task} | ours | " + " | ".join(ours) + " |")
            lines.append("| | | *paper* | " + " | ".join(theirs) + " |")
    return "\n".join(lines) + "\n"
