"""Learning curves: returns of agents over the timesteps of their training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sb3_explain.report.figures import get_theme, plain_fonts, render_png
from sb3_explain.report.palette import assign_styles

Curve = list[dict[str, Any]]


@plain_fonts
def curves_figure(curves: Mapping[tuple[str, str, int], Curve]) -> bytes:
    """Draw the returns while training: a panel per task, a line per algorithm and seed.

    :param curves: (task, algorithm, seed) -> rows of ``steps`` (timesteps) and ``return``
    :return: PNG
    """
    look = get_theme("light")
    tasks = list(dict.fromkeys(task for task, _, _ in curves))
    lines = assign_styles(tuple(dict.fromkeys(algo for _, algo, _ in curves)), ())
    figure = Figure(figsize=(1 + 4.2 * len(tasks), 3.2), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        for (where, algo, _), curve in curves.items():
            if where == task:
                steps = [row["steps"] / 1000 for row in curve]
                returns = [np.nan if row["return"] is None else row["return"] for row in curve]
                axes.plot(steps, returns, color=lines[algo].color, label=algo)
        axes.set_title(task, loc="left", color=look.ink)
        axes.set_xlabel("thousand timesteps", color=look.ink)
        axes.set_ylabel("return while training", color=look.ink)
        axes.tick_params(colors=look.ink)
        axes.grid(color=look.grid)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        axes.legend(unique.values(), unique.keys(), frameon=False, labelcolor=look.ink)
    return render_png(figure, look)
