"""The figure of attention: a matrix for each layer, from token to token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png
from sb3_explain.report.linear_probe_figure import shorten_layer
from sb3_explain.report.palette import ThemeName

#: inches of a panel, the most panels in a row, and the most tokens whose names are written
SIDE, COLUMNS, NAMED = 3.4, 4, 24


@plain_fonts
def attention_figure(
    panels: Mapping[str, NDArray[Any]], tokens: Sequence[str] = (), *, theme: ThemeName = "light"
) -> bytes:
    """Draw matrices of attention side by side, each with a scale of its own from 0.

    :param panels: (T, S) weights by the title of the panel
    :param tokens: names of the tokens; numbers where their count is another
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look, columns = get_theme(theme), min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(SIDE * columns, SIDE * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, weights) in zip(grid.flat, panels.items(), strict=False):
        drawn = axes.imshow(weights, cmap="viridis", vmin=0, interpolation="nearest")
        figure.colorbar(drawn, ax=axes, shrink=0.75).ax.tick_params(
            labelsize=7, colors=look.ink, length=0
        )
        axes.set_title(shorten_layer(title), **{**TITLE, "fontsize": 9}, color=look.ink)
        for axis, size, label in (
            (axes.yaxis, weights.shape[0], "token"),
            (axes.xaxis, weights.shape[1], "takes from token"),
        ):
            if len(tokens) == size <= NAMED:
                axis.set_ticks(range(size), list(tokens))
            axis.set_label_text(label, color=look.faint, fontsize=8)
        axes.tick_params(labelsize=7, colors=look.ink, length=0)
        if len(tokens) == weights.shape[1]:
            axes.tick_params(axis="x", rotation=90)
    return render_png(figure, look)
