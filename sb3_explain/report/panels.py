"""The parts of an explanation's figure: a picture under its map, bars of features, a board."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sb3_explain.report.overlay import Frame, enlarge
from sb3_explain.report.overlay_styles import OverlayStyle, draw_overlay
from sb3_explain.report.palette import Theme
from sb3_explain.report.scales import Scale

#: small pictures are enlarged to this height in pixels, for smooth borders of maps
HEIGHT = 320
#: most features of a panel of bars: those of the largest magnitudes
MOST_BARS = 24
#: inches for the bars themselves, and for a letter of their labels
BARS, LETTER = 1.8, 0.075
#: boards of more squares are drawn as pictures, without numbers
MOST_SQUARES = 144


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel(ABC):
    """One part of a figure.

    :param heading: text above it, in one or more lines
    :param scale: range of its attributions; ``None`` if it shows the observation alone
    """

    heading: str = ""
    scale: Scale | None = None

    #: whether its color bar is gray
    gray = False

    @property
    @abstractmethod
    def size(self) -> tuple[float, float]:
        """Width and height in inches, without headings and color bar."""

    @abstractmethod
    def draw(self, axes: Axes, look: Theme) -> None:
        """Draw it into axes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PicturePanel(Panel):
    """A picture, under a map if there is one.

    :param picture: (h, w, 3) uint8
    :param attribution: (H, W) map in any range; ``None`` for the picture alone
    :param style: how the map is drawn, see :func:`draw_overlay`
    """

    picture: Frame
    attribution: NDArray[Any] | None = None
    style: OverlayStyle = "heat"

    @property
    def gray(self) -> bool:  # type: ignore[override]
        """A spotlight has no colors of its own."""
        return self.style == "spotlight"

    @property
    def size(self) -> tuple[float, float]:
        """As wide and high as the picture, and 2.4 inches on its longer side."""
        height, width = self.picture.shape[:2]
        return 2.4 * width / max(height, width), 2.4 * height / max(height, width)

    def render(self) -> Frame:
        """Render it as a picture (h, w, 3) uint8."""
        large = enlarge(self.picture, max(1, math.ceil(HEIGHT / max(self.picture.shape[:2]))))
        if self.attribution is None or self.scale is None:
            return large
        scaled = self.scale.apply(self.attribution)
        return draw_overlay(large, scaled, signed=self.scale.signed, style=self.style)

    def draw(self, axes: Axes, look: Theme) -> None:
        """Draw the picture without ticks."""
        axes.imshow(self.render(), interpolation="antialiased", aspect="equal")
        _leave_bare(axes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BarPanel(Panel):
    """Features as bars, each with its name and value.

    :param names: names of the M features
    :param values: (M,) what the features are
    :param attributions: (M,) attributions in any range
    :param replaced: (M,) what hidden features become, NaN where none does; ``None`` if none are
        hidden
    """

    names: Sequence[str]
    values: NDArray[Any]
    attributions: NDArray[Any]
    replaced: NDArray[Any] | None = None

    def label(self, feature: int) -> str:
        """Name a feature, with its value and what it is replaced by."""
        said = f"{self.names[feature]} = {format_value(self.values[feature])}"
        if self.replaced is None or np.isnan(self.replaced[feature]):
            return said
        return f"{said} (hidden: {format_value(self.replaced[feature])})"

    @property
    def shown(self) -> NDArray[np.int64]:
        """Indices of the features that are shown, in their order."""
        strongest = np.argsort(-np.abs(self.attributions), kind="stable")[:MOST_BARS]
        return np.sort(strongest)

    @property
    def size(self) -> tuple[float, float]:
        """As high as its features, and so wide that their labels leave the bars room."""
        longest = max((len(self.label(feature)) for feature in self.shown), default=0)
        return max(4.0, BARS + LETTER * longest), 0.35 + 0.21 * max(len(self.shown), 2)

    def draw(self, axes: Axes, look: Theme) -> None:
        """Draw a bar for each feature, from zero to its attribution."""
        assert self.scale is not None
        shown = self.shown
        colors = self.scale.color().to_rgba(self.attributions[shown])
        axes.barh(range(len(shown)), self.attributions[shown], color=colors, height=0.74)
        low, high = self.scale.room
        # from each name to its bar
        starts = np.minimum(self.attributions[shown], 0)
        axes.hlines(range(len(shown)), 1.05 * low, starts, color=look.grid, linewidth=1, zorder=0)
        axes.axvline(0, color=look.faint, linewidth=1)
        axes.set_xlim(1.05 * low, 1.05 * high)
        axes.set_xticks([])
        axes.set_ylim(max(len(shown), 2) - 0.4, -0.6)
        labels = [self.label(i) for i in shown]
        axes.set_yticks(range(len(shown)), labels, fontsize=9, color=look.ink)
        axes.tick_params(length=0)
        axes.set_facecolor(look.paper)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if len(shown) < len(self.names):
            few = f"the {len(shown)} strongest of {len(self.names)} features"
            axes.set_xlabel(few, fontsize=8.5, color=look.faint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardPanel(Panel):
    """A board with what stands on its squares, in the colors of their attributions.

    :param squares: (C, H, W) the board; of several channels, a square shows the numbers of those
        that are not 0
    :param attribution: (H, W) attributions of the squares in any range
    """

    squares: NDArray[Any]
    attribution: NDArray[Any]

    @property
    def size(self) -> tuple[float, float]:
        """As wide and high as the board, and 2.4 inches on its longer side."""
        height, width = self.attribution.shape
        return 2.4 * width / max(height, width), 2.4 * height / max(height, width)

    def draw(self, axes: Axes, look: Theme) -> None:
        """Draw the squares with lines between them."""
        assert self.scale is not None
        height, width = self.attribution.shape
        axes.imshow(self.scale.color().to_rgba(self.attribution), interpolation="nearest")
        _leave_bare(axes)
        if height * width > MOST_SQUARES:
            return
        axes.set_xticks(np.arange(width + 1) - 0.5, labels=[])
        axes.set_yticks(np.arange(height + 1) - 0.5, labels=[])
        axes.tick_params(length=0)
        axes.grid(color=look.paper, linewidth=0.8)
        outline = [patheffects.withStroke(linewidth=1.0, foreground="black")]
        for row in range(height):
            for column in range(width):
                axes.text(
                    column, row, self._name_square(row, column), ha="center", va="center",
                    color="white", fontsize=min(9, 60 / max(height, width)), path_effects=outline,
                )  # fmt: skip

    def _name_square(self, row: int, column: int) -> str:
        stands = self.squares[:, row, column]
        if len(stands) == 1:
            return format_value(stands[0]) if stands[0] else "·"
        return ",".join(map(str, np.flatnonzero(stands))) or "·"


def share_scales(rows: Sequence[Sequence[Panel]]) -> list[list[Panel]]:
    """Give the panels of one method the same scales for all observations, so that they compare.

    :param rows: for each observation its panels, in the same order
    """
    scales = [
        Scale.join([panel.scale for panel in column if panel.scale is not None])
        for column in zip(*rows, strict=True)
    ]
    return [
        [
            panel if panel.scale is None else dataclasses.replace(panel, scale=scale)
            for panel, scale in zip(row, scales, strict=True)
        ]
        for row in rows
    ]


def format_value(value: float) -> str:
    """Format a feature's value with three digits."""
    return f"{float(value):.3g}"


def _leave_bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
