"""Tables of returns in the layout of the paper's tables 1, 2 and 6, with the paper's results."""

from __future__ import annotations

import pandas as pd

from sb3_explain.workflows.pixel_training.recipes import RECIPES
from sb3_explain.workflows.pixel_training.suites import AVERAGE, Suite, read_published


def write_table(results: pd.DataFrame, suite: Suite) -> str:
    """Write our returns in Markdown, with the paper's below in italics.

    :param results: what :func:`run_dmc` or :func:`run_robot` returned; means and standard
        deviations are over seeds, and so are success rates where an environment has them
    :param suite: benchmark that the results are of
    """
    results = add_averages(results, suite)
    algos = [name for name in RECIPES if name in set(results["algo"])]
    paper = {(row.task, row.mode, row.algo): row for row in read_published(suite).itertuples()}
    lines = [
        "| mode | task | | " + " | ".join(algos) + " |",
        "|---" * 3 + "|---:" * len(algos) + "|",
    ]
    for mode in [name for name in (*suite.modes, AVERAGE) if name in set(results["mode"])]:
        for task in [name for name in suite.tasks if name in set(results["task"])]:
            ours, successes, theirs = [], [], []
            for algo in algos:
                some = results.query("task == @task and mode == @mode and algo == @algo")
                ours.append(write_spread(some["return"], suite.digits))
                if "success" in some:
                    successes.append(write_spread(100 * some["success"], 0, " %"))
                row = paper.get((task, mode, algo))
                theirs.append("" if row is None else f"*{row.mean} ± {row.std}*")
            lines.append(f"| {mode} | {task} | ours | " + " | ".join(ours) + " |")
            if successes:
                lines.append("| | | successes | " + " | ".join(successes) + " |")
            lines.append("| | | *paper* | " + " | ".join(theirs) + " |")
    return "\n".join(lines) + "\n"


def add_averages(results: pd.DataFrame, suite: Suite) -> pd.DataFrame:
    """Add the mean over the test modes of each training, where it was evaluated in all of them."""
    tests = results[results["mode"].isin(suite.averaged)]
    if tests.empty:
        return results
    training = tests.groupby(["task", "algo", "seed"])
    means = training.mean(numeric_only=True)[training.size() == len(suite.averaged)]
    return pd.concat([results, means.reset_index().assign(mode=AVERAGE)], ignore_index=True)


def write_spread(values: pd.Series, digits: int, unit: str = "") -> str:
    """Write the mean of values, and their standard deviation if there are several."""
    if not len(values):
        return ""
    spread = f" ± {values.std(ddof=0):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}{unit}"
