"""The figure of a behavior map: states as dots, clusters as letters, ways as arrows."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sb3_explain.report.diagnosis_figure import BEYOND
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png
from sb3_explain.report.palette import Theme, ThemeName, assign_styles

#: inches of a panel, and of what stands around it: left and between, below, above
PANEL, LEFT, BELOW, ABOVE = 4.6, 0.3, 0.35, 0.45
#: inches of the scale of values, and of a line of the legend
SCALE, LINE = 0.8, 0.2
#: number of dots that are drawn, at most
DOTS = 5000
#: share of the exits of a cluster from which on an arrow is drawn
WAY = 0.1
#: points of the radius of a letter's disk
RADIUS = 11.0
#: how often letters that lie on each other are moved apart
ROUNDS = 50


@dataclasses.dataclass(frozen=True)
class DrawnBehavior:
    """A behavior map of n states in k clusters as it is drawn.

    :param title: what it is
    :param points: (n, 2) place of each state
    :param labels: (n,) number of its cluster
    :param names: (k,) letter of each cluster
    :param exits: (k, k) share of each cluster (column) among those that one (row) is left for
    :param failing: (k,) whether each is a cluster of failure
    :param lines: (k,) what is said of each in the legend
    :param measured: (n,) what the dots of the second panel are colored by; ``None`` for no panel
    :param measure: what that is
    """

    title: str
    points: NDArray[Any]
    labels: NDArray[Any]
    names: Sequence[str]
    exits: NDArray[Any]
    failing: Sequence[bool]
    lines: Sequence[str]
    measured: NDArray[Any] | None = None
    measure: str = ""

    @property
    def centers(self) -> NDArray[np.float64]:
        """(k, 2) place of each letter: the medians of its states, but no letter on another."""
        low, extent = self.frame()
        medians = [np.median(self.points[self.labels == i], axis=0) for i in range(len(self.names))]
        centers: NDArray[np.float64] = low + spread_letters((medians - low) / extent) * extent
        return centers

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure in inches."""
        width = 2 * LEFT + PANEL
        if self.measured is not None:
            width += PANEL + SCALE
        return width, ABOVE + PANEL + BELOW + LINE * len(self.names)

    def place_letters(self) -> list[tuple[float, float]]:
        """Find the place of each letter in the figure, from its top left corner, in [0, 1]."""
        width, height = self.size
        low, extent = self.frame()
        inside = (self.centers - low) / extent
        return [
            ((LEFT + x * PANEL) / width, (ABOVE + (1 - y) * PANEL) / height)
            for x, y in inside.tolist()
        ]

    def frame(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Find the lower left corner of a panel and its extent, in units of the points."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        extent = np.where(high > low, high - low, 1.0) * 1.1
        return (low + high - extent) / 2, extent


def spread_letters(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move letters apart that would lie on each other.

    :param places: (k, 2) their places in a panel, in [0, 1]
    :return: (k, 2) places
    """
    places, minimum = places.copy(), 2 * RADIUS / (72 * PANEL)
    for _ in range(ROUNDS):
        for i, j in itertools.combinations(range(len(places)), 2):
            apart = places[j] - places[i]
            distance = float(np.linalg.norm(apart))
            if distance < minimum:
                way = apart / distance if distance > 0 else np.array([1.0, 0.0])
                places[i] -= way * (minimum - distance) / 2
                places[j] += way * (minimum - distance) / 2
    return places


@plain_fonts
def behavior_figure(drawn: DrawnBehavior, *, theme: ThemeName = "light") -> bytes:
    """Draw a behavior map.

    :param drawn: the map
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    width, height = drawn.size
    figure = Figure(figsize=(width, height))
    bottom = height - ABOVE - PANEL

    def add(left: float) -> Axes:
        return figure.add_axes((left / width, bottom / height, PANEL / width, PANEL / height))

    chosen = np.linspace(0, len(drawn.points) - 1, min(DOTS, len(drawn.points))).astype(int)
    axes = add(LEFT)
    styles = assign_styles(drawn.names, ())
    colors = [styles[name].color for name in drawn.names]
    _scatter(axes, drawn, chosen, [colors[i] for i in drawn.labels[chosen]], look)
    axes.set_title(drawn.title, color=look.ink, **{**TITLE, "fontsize": 11})
    _draw_ways(axes, drawn, look)
    _draw_letters(axes, drawn, colors, look)
    for number, line in enumerate(drawn.lines):
        y = (bottom - BELOW - LINE * (number + 0.2)) / height
        ink = BEYOND if drawn.failing[number] else look.ink
        figure.text(LEFT / width, y, f"{drawn.names[number]}  {line}", color=ink, fontsize=8.5)
    if drawn.measured is not None:
        second = add(2 * LEFT + PANEL)
        dots = _scatter(second, drawn, chosen, drawn.measured[chosen], look)
        second.set_title(f"The same by {drawn.measure}", color=look.ink,
                         **{**TITLE, "fontsize": 11})  # fmt: skip
        _draw_letters(second, drawn, [look.paper] * len(colors), look)
        place = (2 * LEFT + 2 * PANEL + 0.1) / width
        scale = figure.add_axes((place, bottom / height, 0.12 / width, PANEL / height))
        figure.colorbar(dots, cax=scale).outline.set_visible(False)
        scale.tick_params(colors=look.ink, labelsize=8, length=0)
    return render_png(figure, look)


def _scatter(axes: Axes, drawn: DrawnBehavior, chosen: Any, colors: Any, look: Theme) -> Any:
    low, extent = drawn.frame()
    axes.set_xlim(low[0], low[0] + extent[0])
    axes.set_ylim(low[1], low[1] + extent[1])
    axes.set_facecolor(look.paper)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(look.grid)
    x, y = drawn.points[chosen].T
    return axes.scatter(x, y, c=colors, s=7, alpha=0.6, linewidths=0)


def _draw_ways(axes: Axes, drawn: DrawnBehavior, look: Theme) -> None:
    """Draw an arrow for each way that a cluster is often left by, the wider the more often."""
    centers = drawn.centers
    for start, stop in np.argwhere(drawn.exits >= WAY).tolist():
        share = float(drawn.exits[start, stop])
        axes.annotate(
            "", xy=tuple(centers[stop]), xytext=tuple(centers[start]), zorder=3,
            arrowprops={
                "arrowstyle": "-|>", "color": look.ink, "linewidth": 0.6 + 2.4 * share,
                "alpha": 0.75, "mutation_scale": 9 + 6 * share, "shrinkA": RADIUS + 2,
                "shrinkB": RADIUS + 2, "connectionstyle": "arc3,rad=0.18",
            },
        )  # fmt: skip


def _draw_letters(axes: Axes, drawn: DrawnBehavior, colors: Sequence[str], look: Theme) -> None:
    for number, (x, y) in enumerate(drawn.centers.tolist()):
        failing = drawn.failing[number]
        axes.plot(
            x, y, "o", markersize=2 * RADIUS - 3, color=colors[number], zorder=4,
            markeredgecolor=BEYOND if failing else look.ink, markeredgewidth=3 if failing else 1,
        )  # fmt: skip
        ink = look.ink if colors[number] == look.paper else "#ffffff"
        axes.text(x, y, drawn.names[number], ha="center", va="center_baseline", color=ink,
                  fontsize=9.5, fontweight="bold", zorder=5)  # fmt: skip
