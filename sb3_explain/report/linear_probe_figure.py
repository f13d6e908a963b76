"""The figure of linear probes: R2 by layer with the control, a panel for each concept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from sb3_explain.common.bootstrap import Interval
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.palette import ThemeName

#: color of R2, and of the control
FOUND, CONTROL = "#3a86d1", "#82868e"
#: inches of a panel, of a layer's row, and panels side by side
PANEL, ROW, COLUMNS = 3.0, 0.26, 3
#: R2 below this is drawn at it, so that a bad probe does not hide the others
LOWEST = -0.25
#: letters of the longest name of a layer, whose beginning is cut
LETTERS = 30


@plain_fonts
def linear_probe_figure(
    panels: Mapping[str, Mapping[str, tuple[Interval, float]]], *, theme: ThemeName = "light"
) -> bytes:
    """Draw R2 of each layer with its interval, beside that of the shuffled labels.

    :param panels: R2 and that of the control by layer, by concept
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look, columns = get_theme(theme), min(COLUMNS, len(panels))
    layers = list(next(iter(panels.values())))
    rows = math.ceil(len(panels) / columns)
    height = 1.0 + ROW * len(layers)
    figure = Figure(figsize=(2.2 + PANEL * columns, rows * height + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    marks: list[Any] = []
    for axes, (concept, by_layer) in zip(grid.flat, panels.items(), strict=False):
        style_axes(axes, look)
        axes.grid(visible=False, axis="y")
        axes.axvline(0, color=look.faint, linewidth=0.8)
        for y, (r2, control) in enumerate(by_layer.values()):
            low, mean, high = (max(each, LOWEST) for each in (r2.low, r2.mean, r2.high))
            axes.plot([low, high], [y, y], color=FOUND, linewidth=5, alpha=0.4)
            (dot,) = axes.plot([mean], [y], "o", color=FOUND, markersize=6)
            (cross,) = axes.plot([max(control, LOWEST)], [y], "x", color=CONTROL, markersize=6)
            marks = [dot, cross]
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_yticks(range(len(layers)), [shorten_layer(layer) for layer in layers], fontsize=8)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        axes.set_xlim(LOWEST - 0.03, 1.05)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_title(concept, color=look.ink, **{**TITLE, "fontsize": 11})
    figure.legend(
        marks, ["held-out R2, with its 95 % interval", "control: shuffled labels"],
        loc="outside lower right", ncols=2, frameon=False, fontsize=8.5, labelcolor=look.ink,
    )  # fmt: skip
    return render_png(figure, look)


def shorten_layer(layer: str) -> str:
    """Shorten the name of a layer to 30 letters, of which the last ones tell it from others."""
    return layer if len(layer) <= LETTERS else f"…{layer[1 - LETTERS :]}"
