"""Contact sheets: states side by side, with the agent's action and probabilities in each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.captions import load_font, wrap
from sb3_explain.report.figures import get_theme, plain_fonts, render_png
from sb3_explain.report.overlay import Frame, enlarge, lay_over
from sb3_explain.report.palette import Theme, ThemeName, assign_styles

_COLUMNS, _WIDTH = 4, 2.9
_HEIGHT = 240
_BAR, _LINE = 0.13, 0.145
#: sizes in points of captions, names of features and titles, and an inch
_CAPTION, _SMALL, _TITLE, _INCH = 8.5, 7.0, 13.0, 72
#: width in points of a legend's color with its margins, and of a tile's margins
_PATCH, _MARGIN = 44, 14


@dataclasses.dataclass(frozen=True)
class Tile:
    """One state of a contact sheet.

    :param probabilities: (K,) probabilities of the actions, in [0, 1]
    :param action: name of the action that the agent takes
    :param remark: text under the action, for example the value
    :param picture: (h, w, 3) uint8; ``None`` for an agent without images
    :param attribution: (H, W) map of the state, see :func:`sb3_explain.report.lay_over`; it is
        shown beside the picture
    :param features: (M,) features of a state without images, in standard deviations from the mean
    :param signed: whether the map lies in [-1, 1] rather than [0, 1]
    :param values: (M,) the same features in their own units, which stand beside their names
    :param forbidden: indices of the actions that action masks forbid in the state
    """

    probabilities: Sequence[float] | NDArray[Any]
    action: str
    remark: str = ""
    picture: Frame | None = None
    attribution: NDArray[Any] | None = None
    features: NDArray[Any] | None = None
    signed: bool = False
    values: NDArray[Any] | None = None
    forbidden: Collection[int] = ()

    def describe(self, actions: Sequence[str]) -> str:
        """Describe the state in lines: the action, the remark, and which actions are forbidden."""
        forbidden = ", ".join(actions[i] for i in self.forbidden)
        lines = (self.action, self.remark, f"forbidden: {forbidden}" if forbidden else "")
        return "\n".join(filter(None, lines))

    def name_features(self, names: Sequence[str]) -> list[str]:
        """Name the features of this state, with their values if these are known."""
        n = 0 if self.features is None else len(self.features)
        if self.values is None:
            return list(names[:n])
        return [f"{name}: {value:.3g}" for name, value in zip(names, self.values, strict=False)]

    def image(self) -> Frame | None:
        """Return the picture and, beside it, the picture under its map; ``None`` without one."""
        if self.picture is None:
            return None
        large = enlarge(self.picture, max(1, math.ceil(_HEIGHT / self.picture.shape[0])))
        if self.attribution is None:
            return large
        gap = np.full((large.shape[0], max(2, large.shape[1] // 40), 3), 255, np.uint8)
        laid = lay_over(large, self.attribution, signed=self.signed)
        return np.concatenate([large, gap, laid], axis=1)


@plain_fonts
def contact_sheet(
    tiles: Sequence[Tile],
    actions: Sequence[str],
    *,
    title: str = "",
    measure: str = "probability",
    features: Sequence[str] = (),
    marked: int | None = None,
    theme: ThemeName = "light",
) -> bytes:
    """Draw states in rows, each with a bar of the actions' probabilities.

    :param tiles: the states, the most interesting first
    :param actions: names of the K actions
    :param title: title of the sheet
    :param measure: name of what the bars show; values that do not add up to 1 (of Box actions or
        several sub-actions) are drawn side by side
    :param features: names of the features of tiles without pictures
    :param marked: index of the action that is explained in all tiles, where one was asked for
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    :raises ExplainError: if there are no tiles
    """
    if not tiles:
        raise ExplainError("no states to show: probe for some first")
    look, colors = get_theme(theme), assign_styles(actions, ())
    image = tiles[0].image()
    wide = image is not None and image.shape[1] > 1.5 * image.shape[0]
    columns = min(_COLUMNS if not wide else 3, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width = _WIDTH * (1.25 if wide else 1.0)
    body = (
        width * image.shape[0] / image.shape[1]
        if image is not None
        else 0.3 + 0.15 * _count_features(tiles)
    )
    names = list(features) or [f"feature {i}" for i in range(_count_features(tiles))]
    written = {label: None for tile in tiles for label in tile.name_features(names)}
    captions = _wrap_captions(tiles, actions, [] if image is not None else list(written), width)
    words = 0.1 + _LINE * max(3, *(caption.count("\n") + 1 for caption in captions))
    room = width * columns * _INCH - _MARGIN
    title = _wrap(title, _TITLE, room, bold=True)
    labels = [f"{name} (explained)" if i == marked else name for i, name in enumerate(actions)]
    widest = max((_measure(name, _CAPTION) for name in labels), default=0.0) + _PATCH
    in_row = max(1, min(len(actions), int(room // widest)))
    heads = 0.25 * title.count("\n") + 0.19 * max(0, math.ceil(len(actions) / in_row) - 1)
    figure = Figure(
        figsize=(width * columns, rows * (body + _BAR + words) + 1.0 + heads), layout="constrained"
    )
    grid = figure.add_gridspec(rows, columns)
    for place, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        cell = grid[divmod(place, columns)].subgridspec(2, 1, height_ratios=(body, _BAR), hspace=0)
        _draw_state(figure.add_subplot(cell[0]), tile, names, look)
        bar = figure.add_subplot(cell[1])
        _draw_bar(bar, tile, [colors[name].color for name in actions], marked, look)
        bar.set_xlabel(caption, loc="left", color=look.ink, fontsize=_CAPTION, labelpad=2)
    figure.suptitle(title, x=0.012, ha="left", color=look.ink, fontsize=_TITLE, fontweight="bold")
    figure.legend(
        [Patch(color=colors[name].color) for name in actions],
        [_wrap(name, _CAPTION, room - _PATCH) for name in labels],
        title=measure,
        loc="outside lower left",
        ncols=in_row,
        frameon=False,
        fontsize=_CAPTION,
        title_fontsize=_CAPTION,
        labelcolor=look.ink,
        alignment="left",
    ).get_title().set_color(look.faint)
    return render_png(figure, look)


def _wrap(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """Break a text of a size in points into lines of at most a width in points."""
    return wrap(text, load_font(10 * round(size), bold), 10 * width * round(size) / size)


def _measure(text: str, size: float) -> float:
    """Width in points of a text of a size in points."""
    return load_font(100).getlength(text) * size / 100


def _wrap_captions(
    tiles: Sequence[Tile], actions: Sequence[str], names: Sequence[str], width: float
) -> list[str]:
    """Write the captions of the tiles, in lines that end before the next tile.

    :param tiles: the states
    :param actions: names of the actions
    :param names: names of the features that stand left of the tiles' bars
    :param width: width of a tile in inches
    """
    beside = max((_measure(name, _SMALL) + 8 for name in names), default=0.0)
    room = max(width * _INCH - _MARGIN - beside, width * _INCH / 4)
    return [_wrap(tile.describe(actions), _CAPTION, room) for tile in tiles]


def _count_features(tiles: Sequence[Tile]) -> int:
    return max(0 if tile.features is None else len(tile.features) for tile in tiles)


def _draw_state(axes: Axes, tile: Tile, features: Sequence[str], look: Theme) -> None:
    image = tile.image()
    if image is not None:
        # where it is shown smaller, no line of pixels is left out
        axes.imshow(image, interpolation="antialiased", aspect="equal")
        axes.set_axis_off()
        return
    values = np.zeros(0) if tile.features is None else np.asarray(tile.features)
    axes.barh(range(len(values)), values.clip(-4, 4), color=look.faint, height=0.7)
    axes.axvline(0, color=look.grid, linewidth=1)
    axes.set_xlim(-4, 4)
    axes.set_ylim(len(values) - 0.4, -0.6)
    labels = tile.name_features(features)
    axes.set_yticks(range(len(values)), labels, fontsize=_SMALL, color=look.faint)
    axes.set_xticks([-4, 0, 4], ["-4", "mean", "+4 sd"], fontsize=6.5, color=look.faint)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_bar(
    axes: Axes, tile: Tile, colors: Sequence[str], marked: int | None, look: Theme
) -> None:
    """Draw probabilities stacked in one bar, or side by side if they do not add up to 1.

    Side by side, each is the filled part of a pale bar, whose length is 1.
    """
    shares = np.nan_to_num(np.asarray(tile.probabilities, dtype=np.float64))
    whole = abs(shares.sum() - 1) < 1e-3
    slots = np.full(len(shares), 1 / max(len(shares), 1))
    lefts = np.cumsum(shares) - shares if whole else np.cumsum(slots) - slots
    widths = shares if whole else 0.92 * slots * shares
    if not whole:
        axes.barh(
            np.zeros(len(shares)), 0.92 * slots, left=lefts, color=list(colors), height=1, alpha=0.2
        )
    axes.barh(np.zeros(len(shares)), widths, left=lefts, color=list(colors), height=1)
    if marked is not None:
        frame: Any = {"color": "none", "edgecolor": look.ink, "linewidth": 2, "clip_on": False}
        room = widths[marked] if whole else 0.92 * slots[marked]
        axes.barh([0], [room], left=[lefts[marked]], height=1, **frame)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.5, 0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


@plain_fonts
def picture_rows(
    rows: Mapping[str, Sequence[Frame]], *, title: str = "", theme: ThemeName = "light"
) -> bytes:
    """Draw rows of pictures, each row with its name, for comparison.

    :param rows: name -> pictures (h, w, 3) uint8, the same number in every row
    :param title: title of the figure
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    :raises ExplainError: if the rows are not equally long
    """
    lengths = {len(pictures) for pictures in rows.values()}
    if len(lengths) != 1 or not min(lengths):
        raise ExplainError(f"rows of {sorted(lengths)} pictures: give equally many for each name")
    look, columns = get_theme(theme), lengths.pop()
    first = next(iter(rows.values()))[0]
    side = 1.35
    height = side * first.shape[0] / first.shape[1]
    figure = Figure(
        figsize=(1.3 + side * columns, (height + 0.04) * len(rows) + 0.5), layout="constrained"
    )
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for (name, pictures), line in zip(rows.items(), panels, strict=True):
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(
                enlarge(picture, max(1, math.ceil(168 / picture.shape[0]))), interpolation="nearest"
            )
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
        line[0].set_ylabel(
            name, rotation=0, ha="right", va="center", color=look.ink, fontsize=10, labelpad=8
        )
    figure.suptitle(title, x=0.012, ha="left", color=look.ink, fontsize=12, fontweight="bold")
    return render_png(figure, look)
