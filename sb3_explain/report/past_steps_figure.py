"""The figure of past steps: a bar for each, and below what was observed, with its attributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.overlay import Frame, lay_over
from sb3_explain.report.palette import Theme, ThemeName

#: colors of what speaks for the target and against it, which the map of features has too
FOR, AGAINST = "#d9534a", "#3a86d1"
#: most features that are drawn, those of the largest attribution, and most frames
FEATURES, FRAMES = 16, 6
#: inches of the figure, of its bars, of a feature's row and of the frames
WIDTH, BARS, ROW, PICTURES = 8.0, 2.3, 0.24, 1.6


@plain_fonts
def past_steps_figure(
    steps: Sequence[int],
    by_step: Sequence[float],
    occlusion: Sequence[float],
    *,
    before: tuple[float, float],
    target: str,
    names: Sequence[str] = (),
    features: NDArray[Any] | None = None,
    frames: NDArray[np.uint8] | None = None,
    attributed: NDArray[Any] | None = None,
    theme: ThemeName = "light",
) -> bytes:
    """Draw the attributions of past steps.

    :param steps: (k,) numbers of the steps within the episode; the last is explained
    :param by_step: (k,) attribution of each step
    :param occlusion: (k,) change of the score where a step is occluded
    :param before: both of the recurrent state before the first step
    :param target: name of the target
    :param names: (N,) names of the features
    :param features: (N, k) attributions of the features
    :param frames: (k, h, w, 3) frames that were observed
    :param attributed: (k, H, W) their attributions
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    n = 0 if features is None else min(len(features), FEATURES)
    heights = [BARS, *([0.5 + ROW * n] if n else []), *([PICTURES] if frames is not None else [])]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    bars = figure.add_subplot(grid[0])
    _draw_bars(bars, steps, [before[0], *by_step], [before[1], *occlusion], look)
    title = f"Attributions of {target} in step {steps[-1]} to the steps before"
    bars.set_title(title, color=look.ink, **{**TITLE, "fontsize": 11})
    if features is not None:
        _draw_features(figure.add_subplot(grid[1], sharex=bars), names, features, look)
    if frames is not None and attributed is not None:
        shown = np.sort(np.argsort(-np.abs(by_step), kind="stable")[:FRAMES])
        largest = max(float(np.abs(attributed).max()), 1e-30)
        row = grid[len(heights) - 1].subgridspec(1, len(shown))
        for place, i in enumerate(shown):
            axes = figure.add_subplot(row[place])
            picture: Frame = lay_over(frames[i], attributed[i] / largest, signed=True)
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(f"step {steps[i]}", fontsize=8, color=look.ink)
    return render_png(figure, look)


def _draw_bars(
    axes: Axes,
    steps: Sequence[int],
    values: Sequence[float],
    occlusion: Sequence[float],
    look: Theme,
) -> None:
    places = range(len(values))
    style_axes(axes, look)
    axes.bar(places, values, color=[FOR if value > 0 else AGAINST for value in values], width=0.75)
    axes.plot(places, occlusion, "D", color=look.ink, markersize=4, label="by occlusion")
    axes.axhline(0, color=look.faint, linewidth=0.8)
    axes.grid(visible=False, axis="x")
    every = max(1, len(steps) // 16)
    ticks = [0, *range(len(steps), 0, -every)]
    axes.set_xticks(ticks, ["state\nbefore", *(str(steps[i - 1]) for i in ticks[1:])], fontsize=8)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("step of the episode", fontsize=9)
    axes.legend(
        frameon=False, fontsize=8, labelcolor=look.ink, loc="lower right", bbox_to_anchor=(1, 1)
    )


def _draw_features(axes: Axes, names: Sequence[str], features: NDArray[Any], look: Theme) -> None:
    most = np.sort(np.argsort(-np.abs(features).max(axis=1), kind="stable")[:FEATURES])
    largest = max(float(np.abs(features).max()), 1e-30)
    place = (0.5, features.shape[1] + 0.5, len(most) - 0.5, -0.5)  # below the bars of the steps
    drawn = axes.imshow(
        features[most], cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", extent=place,
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xlim(-0.6, features.shape[1] + 0.6)
    axes.set_yticks(range(len(most)), [names[i] for i in most], fontsize=8, color=look.ink)
    axes.set_facecolor(look.paper)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
    bar = axes.figure.colorbar(drawn, ax=axes, location="bottom", fraction=0.06, aspect=40)
    bar.ax.tick_params(labelsize=7, colors=look.ink, length=0)
    bar.outline.set_visible(False)
