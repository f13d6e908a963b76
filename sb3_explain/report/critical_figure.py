"""The figure of critical steps: importance, value and return over an episode, and pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.overlay import Frame
from sb3_explain.report.palette import Theme, ThemeName

#: colors of the importance, and of the steps that are drawn
LINE, MARK = "#3a86d1", "#d9534a"
#: inches of the figure, of the importance, of each other curve, of the pictures at most, and of
#: what is said above each of these
WIDTH, TALL, LOW, PICTURES, SAID = 8.0, 1.8, 1.1, 2.5, 0.25


@plain_fonts
def critical_figure(
    importance: NDArray[np.float64],
    curves: Mapping[str, NDArray[np.float64]],
    frames: Mapping[int, Frame],
    *,
    title: str,
    theme: ThemeName = "light",
) -> bytes:
    """Draw how critical the steps of an episode are.

    :param importance: (T,) importance of the steps, in [0, 1]
    :param curves: what else is drawn by step, by its name
    :param frames: pictures (h, w, 3) uint8 by step, of steps that are marked
    :param title: title of the figure
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    heights = [TALL, *[LOW] * len(curves)]
    if frames:  # no higher than pictures of their width are
        tallest = max(frame.shape[0] / frame.shape[1] for frame in frames.values())
        heights.append(SAID + min(PICTURES, WIDTH / len(frames) * tallest))
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    top = figure.add_subplot(grid[0])
    top.fill_between(np.arange(len(importance)), importance, color=LINE, alpha=0.35, linewidth=0)
    _draw_curve(top, importance, "importance", frames, look)
    top.set_ylim(-0.03, 1.03)
    top.set_title(title, color=look.ink, **{**TITLE, "fontsize": 11})
    last = top
    for row, (name, values) in enumerate(curves.items(), 1):
        top.tick_params(labelbottom=False)
        last.tick_params(labelbottom=False)
        last = figure.add_subplot(grid[row], sharex=top)
        _draw_curve(last, values, name, frames, look)
    last.set_xlabel("step of the episode", fontsize=9)
    if frames:
        strip = grid[len(heights) - 1].subgridspec(1, len(frames))
        for place, step in enumerate(sorted(frames)):
            axes = figure.add_subplot(strip[place])
            axes.imshow(frames[step], interpolation="nearest")
            axes.set_axis_off()
            said = f"step {step}: {importance[step]:.2f}"
            axes.set_title(said, fontsize=8, color=look.ink)
    return render_png(figure, look)


def _draw_curve(
    axes: Axes,
    values: NDArray[np.float64],
    name: str,
    frames: Mapping[int, Frame],
    look: Theme,
) -> None:
    style_axes(axes, look)
    for step in frames:
        axes.axvline(step, color=MARK, linewidth=0.9, alpha=0.8)
    axes.plot(values, color=LINE, linewidth=1.2)
    axes.set_ylabel(name, fontsize=9)
    axes.tick_params(axis="both", labelsize=8)
    axes.set_xlim(0, max(1, len(values) - 1))
