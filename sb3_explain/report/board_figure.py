"""Which squares of a board matter to which action."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png
from sb3_explain.report.palette import ThemeName

#: panels beside each other, and inches of a panel's longer side
COLUMNS, SIDE = 4, 2.6


@plain_fonts
def board_figure(
    importance: NDArray[Any],
    target_names: Sequence[str],
    *,
    title: str = "",
    theme: ThemeName = "light",
) -> bytes:
    """Draw the importance of every square of a board, one panel for each target, on one scale.

    :param importance: (C, H, W) importance of the squares to C targets, at least 0
    :param target_names: names of the C targets
    :param title: title above the figure
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    n_targets, height, width = importance.shape
    columns = min(COLUMNS, n_targets)
    rows = math.ceil(n_targets / columns)
    scale = SIDE / max(height, width)
    size = (columns * (scale * width + 0.4) + 0.9, rows * (scale * height + 0.5) + 0.6)
    figure = Figure(figsize=(max(size[0], 4.0), size[1]), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    highest = float(np.max(importance)) or 1.0
    drawn = None
    for axes, squares, name in zip(panels.flat, importance, target_names, strict=False):
        drawn = axes.imshow(squares, cmap="inferno", vmin=0, vmax=highest, interpolation="nearest")
        axes.set_title(name, **{**TITLE, "fontsize": min(12.0, 250 / max(len(name), 1))})
        axes.title.set_color(look.ink)
        axes.set_xticks(np.arange(width + 1) - 0.5, labels=[])
        axes.set_yticks(np.arange(height + 1) - 0.5, labels=[])
        axes.grid(color=look.faint, linewidth=0.4)
        axes.tick_params(length=0)
    for spare in panels.flat[n_targets:]:
        spare.set_axis_off()
    assert drawn is not None
    bar = figure.colorbar(drawn, ax=panels, shrink=0.8)
    bar.ax.tick_params(colors=look.faint)
    if title:
        figure.suptitle(title, x=0.012, ha="left", color=look.ink, fontsize=13, fontweight="bold")
    return render_png(figure, look)
