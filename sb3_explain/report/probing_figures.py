"""Figures of probing: first-layer filters, and the novelty of generated states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.palette import ThemeName, assign_styles

#: distances below this are zero up to rounding
NOTHING = 1e-6


@plain_fonts
def filters_figure(weights: NDArray[Any], n_frames: int, *, theme: ThemeName = "light") -> bytes:
    """Draw first-layer filters: a column per filter, a row per stacked frame (figure 5).

    The newest frame is at the bottom. Each filter is scaled by its largest magnitude, with negative
    weights dark, positive ones bright, and 0 the same gray in all.

    :param weights: (n_filters, n_frames * C, h, w) weights of the first convolution
    :param n_frames: number of stacked frames; the mean over the channels of a frame is drawn
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    :raises ExplainError: if the number of channels is not a multiple of that of the frames
    """
    if weights.ndim != 4 or weights.shape[1] % n_frames:
        raise ExplainError(
            f"weights of shape {weights.shape} are no filters over {n_frames} stacked frames"
        )
    look = get_theme(theme)
    n_filters, _, height, width = weights.shape
    frames = weights.reshape(n_filters, n_frames, -1, height, width).mean(axis=2)
    most = np.abs(frames).max(axis=(1, 2, 3), keepdims=True)
    scaled = frames / np.where(most > 0, most, 1)
    # (frames, h) down, (filters, w) across, with a blank line between them
    canvas = np.full((n_frames * (height + 1) - 1, n_filters * (width + 1) - 1), np.nan)
    for column, each in enumerate(scaled):
        for row, picture in enumerate(each):
            top, left = row * (height + 1), column * (width + 1)
            canvas[top : top + height, left : left + width] = picture
    figure = Figure(
        figsize=(11, 11 * canvas.shape[0] / canvas.shape[1] + 0.8), layout="constrained"
    )
    axes = figure.subplots()
    axes.imshow(canvas, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    names = [f"t - {n_frames - 1 - row}" if row < n_frames - 1 else "t" for row in range(n_frames)]
    axes.set_yticks(np.arange(n_frames) * (height + 1) + (height - 1) / 2, names)
    axes.set_xticks([])
    axes.tick_params(length=0, colors=look.faint, labelsize=10)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"{n_filters} filters of the first layer", color=look.ink, **TITLE)
    return render_png(figure, look)


@plain_fonts
def novelty_figure(
    shares: Mapping[str, Mapping[float, float]],
    *,
    theme: ThemeName = "light",
    parts: str = "pixels",
) -> bytes:
    """Draw the share of states that differ from the nearest one by a share of pixels (table 2).

    :param shares: source of the states -> threshold -> share of the states, both in [0, 1]
    :param theme: ``"light"`` or ``"dark"``
    :param parts: what differs: ``"pixels"`` or ``"features"``
    :return: PNG
    """
    look, drawn = get_theme(theme), assign_styles(shares, ())
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    thresholds = sorted({threshold for row in shares.values() for threshold in row})
    width = 0.8 / max(len(shares), 1)
    for i, (name, row) in enumerate(shares.items()):
        places = np.arange(len(thresholds)) + (i - (len(shares) - 1) / 2) * width
        heights = [100 * row.get(threshold, np.nan) for threshold in thresholds]
        bars = axes.bar(places, heights, width * 0.92, color=drawn[name].color, label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=8, color=look.faint, padding=2)
    style_axes(axes, look)
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(thresholds)), [f"> {100 * t:.0f} %" for t in thresholds])
    axes.set_ylim(0, 112)
    axes.set_ylabel("% of the states", color=look.faint)
    axes.set_xlabel(f"{parts} that differ from the nearest training state", color=look.faint)
    axes.legend(frameon=False, fontsize=9, labelcolor=look.ink)
    return render_png(figure, look)


def choose_ticks(largest: float, turn: float) -> list[float]:
    """Choose 0, and 1, 2 or 5 times powers of ten from ``turn`` to the largest value."""
    powers = range(math.floor(math.log10(turn)), math.floor(math.log10(max(largest, turn))) + 1)
    round_numbers = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [0.0, *(number for number in round_numbers if 0.5 * turn <= number <= 1.1 * largest)]


@plain_fonts
def distance_figure(distances: Mapping[str, NDArray[Any]], *, theme: ThemeName = "light") -> bytes:
    """Draw distances to the nearest training state: median, quartiles and range.

    :param distances: source of the states -> (n,) root mean squared distances; since these may be
        0, the axis is linear up to the median of those above 0, and logarithmic from there
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    figure = Figure(figsize=(7.6, 0.9 + 0.34 * len(distances)), layout="constrained")
    axes = figure.subplots()
    for row, values in enumerate(distances.values()):
        low, first, median, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
        axes.hlines(row, low, high, color=look.faint, linewidth=1.2)
        axes.hlines(row, first, third, color="#3a86d1", linewidth=7)
        axes.plot(median, row, "o", color=look.ink, markersize=4.5)
    style_axes(axes, look)
    every = np.concatenate(list(distances.values()))
    above = every[every > NOTHING]
    turn = float(np.median(above)) if len(above) else 1.0
    axes.set_xscale("symlog", linthresh=turn)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(FixedLocator(choose_ticks(float(every.max()), turn)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(distances) - 0.5, -0.5)
    axes.set_yticks(range(len(distances)), list(distances))
    axes.set_xlabel("root mean squared distance to the nearest training state", color=look.faint)
    return render_png(figure, look)
