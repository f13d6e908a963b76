"""The figure of a counterfactual: what an agent does without the salient parts of a state."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.captions import format_probability
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.overlay import Attribution, Frame, lay_over
from sb3_explain.report.palette import Theme, ThemeName
from sb3_explain.report.wording import SIMILARITY

#: colors of what changes the action, which no map has, and of all else
CHANGED, UNCHANGED = "#148f5b", "#82868e"
#: what is said of the state as it is
WHOLE = "with everything"
#: color of the action that the explained one is contrasted with
OTHER = "#3a86d1"
_PANEL = 1.75
_WORDS = 15
#: inches for a letter of the title, and of the note
_TITLE_LETTER, _NOTE_LETTER = 0.135, 0.074
#: letters in a line of a feature's name
_WRAP = 12


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the agent does with a state, or without some of its parts.

    :param action: name of the action that the agent takes
    :param probability: probability of the explained action, in [0, 1]
    :param changed: whether the agent takes another action than the explained one
    :param picture: (h, w, 3) uint8 picture of what the agent sees; ``None`` for features
    :param other: probability of the action that the explained one is contrasted with
    """

    action: str
    probability: float
    changed: bool
    picture: Frame | None = dataclasses.field(default=None, repr=False)
    other: float | None = None


@dataclasses.dataclass(frozen=True)
class BeforeAndAfter:
    """One state, and what the agent does without parts of it.

    :param action: name of the explained action
    :param names: names of the n parts, the most salient first
    :param before: outcome with all parts
    :param alone: n outcomes, each without one part
    :param together: n outcomes, each without a part and all before it
    :param frame: (h, w, 3) uint8 of the state, as rendered
    :param attribution: (H, W) map that the parts were taken from, see
        :func:`sb3_explain.report.lay_over`; ``None`` for an agent without images
    :param signed: whether the map lies in [-1, 1], as the contrast of two actions does
    :param outlines: n boolean masks (H, W) of the parts in the map, or ``None``
    :param contrasted: action that the explained one is contrasted with; empty for none
    :param caption: description of the state, for example its episode and step
    :param measure: name of what the probabilities are; of Box actions, which have none,
        :data:`sb3_explain.report.wording.SIMILARITY`
    :param note: text under the figure, for example why this action is explained
    :raises ExplainError: if the numbers of names and outcomes differ
    """

    action: str
    names: Sequence[str]
    before: Outcome
    alone: Sequence[Outcome]
    together: Sequence[Outcome]
    frame: Frame | None = dataclasses.field(default=None, repr=False)
    attribution: Attribution | None = dataclasses.field(default=None, repr=False)
    signed: bool = False
    outlines: Sequence[NDArray[np.bool_] | None] = dataclasses.field(default=(), repr=False)
    contrasted: str = ""
    caption: str = ""
    measure: str = "probability"
    note: str = ""

    def __post_init__(self) -> None:
        n = len(self.names)
        if not n or len(self.alone) != n or len(self.together) != n:
            raise ExplainError(
                f"{n} parts, {len(self.alone)} and {len(self.together)} outcomes do not belong "
                "together"
            )


@plain_fonts
def counterfactual_figure(example: BeforeAndAfter, *, theme: ThemeName = "light") -> bytes:
    """Draw the state with its parts, and the probability of the action without them.

    :param example: the state and its outcomes
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    outcomes = (example.before, *example.alone, *example.together)
    seen = any(outcome.picture is not None for outcome in outcomes)
    columns = len(example.names) + 1
    width = max(_PANEL * columns, 8.0)
    heights = [3.4, *([2.4, 2.4] if seen else [])]
    figure = Figure(figsize=(width, sum(heights) + 0.4), layout="constrained")
    rows: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_state(rows[0], example, look)
    if seen:
        _draw_pictures(rows[1], example, example.alone, "without", look)
        _draw_pictures(rows[2], example, example.together, "without 1 to", look)
    asked = f"Why {example.action}"
    asked += f" and not {example.contrasted}?" if example.contrasted else "?"
    title = textwrap.fill(f"{asked}  {example.caption}".strip(), int(width / _TITLE_LETTER))
    figure.suptitle(
        title, x=0.012, ha="left", color=look.ink, fontsize=14,
        fontweight="bold",
    )  # fmt: skip
    if example.note:
        note = textwrap.fill(example.note, int(width / _NOTE_LETTER))
        figure.supxlabel(note, x=0.012, ha="left", color=look.faint, fontsize=9)
    return render_png(figure, look)


def _draw_state(row: SubFigure, example: BeforeAndAfter, look: Theme) -> None:
    if example.frame is None:
        _draw_curves(row.subplots(), example, look)
        return
    ratio = example.frame.shape[1] / example.frame.shape[0]
    n = 1 if example.attribution is None else 2
    shares = [*([ratio] * n), max(2.6, 4.5 - n * ratio)]
    panels: Any = row.subplots(1, n + 1, width_ratios=shares)
    _draw_picture(panels[0], example.frame, "the state", look)
    if example.attribution is not None:
        shown = lay_over(example.frame, example.attribution, signed=example.signed)
        other = f"for {example.action} and not {example.contrasted}"
        _draw_picture(panels[1], shown, other if example.contrasted else "the map", look)
        height, width = example.frame.shape[:2]
        for number, pixels in enumerate(example.outlines, start=1):
            if pixels is not None:
                _outline(panels[1], pixels, (0, width, height, 0), str(number))
    _draw_curves(panels[-1], example, look)


def _draw_curves(axes: Axes, example: BeforeAndAfter, look: Theme) -> None:
    """Draw the probability of the action without each part, and without all up to it."""
    n = len(example.names)
    x = np.arange(1, n + 1)
    before = example.before.probability
    axes.axhline(before, color=look.faint, linewidth=1, linestyle=(0, (4, 3)), label=WHOLE)
    together = [before, *(outcome.probability for outcome in example.together)]
    axes.plot(np.arange(n + 1), together, color=UNCHANGED, linewidth=2, zorder=2)
    if example.contrasted and example.measure != SIMILARITY:
        other = [outcome.other or 0.0 for outcome in (example.before, *example.together)]
        label = f"{example.measure} of {example.contrasted}"
        axes.plot(np.arange(n + 1), other, color=OTHER, linewidth=1.5, zorder=1, label=label)
    series = ((example.alone, "D", "removed alone"), (example.together, "o", "with all before it"))
    for outcomes, marker, label in series:
        heights = [outcome.probability for outcome in outcomes]
        colors = [CHANGED if outcome.changed else UNCHANGED for outcome in outcomes]
        # filled as well, for those who do not see the color
        faces = [CHANGED if outcome.changed else look.paper for outcome in outcomes]
        shape: Any = {"marker": marker, "s": 50, "linewidths": 1.6}
        axes.scatter(x, heights, c=faces, edgecolors=colors, zorder=3, **shape)
        axes.scatter([], [], c=look.paper, edgecolors=UNCHANGED, label=label, **shape)
    axes.scatter([], [], color=CHANGED, marker="s", s=50, label="filled: the action changes")
    if example.attribution is None:
        for outcomes, above in ((example.alone, True), (example.together, False)):
            for place, outcome in zip(x, outcomes, strict=True):
                if outcome.changed and (above or place > 1):  # the first ones are the same
                    axes.annotate(
                        outcome.action,
                        (float(place), outcome.probability),
                        xytext=(0, 8 if above else -8),
                        textcoords="offset points",
                        ha="center",
                        va="bottom" if above else "top",
                        fontsize=9,
                        color=CHANGED,
                    )
    joined = "to" if example.measure == SIMILARITY else "of"
    axes.set_title(f"{example.measure} {joined} {example.action}", color=look.ink, **TITLE)
    axes.set_ylim(-0.08, 1.08)
    axes.set_xlim(-0.3, n + 0.4)
    style_axes(axes, look)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    names = [str(i) for i in x]
    if example.attribution is None:  # as narrow as their places
        names = [textwrap.fill(name, _WRAP) for name in example.names]
    axes.set_xticks([0, *x], [textwrap.fill(WHOLE, _WRAP), *names], fontsize=9)
    n_lines = max(2, *(len(name.splitlines()) for name in names))
    figure = axes.get_figure(root=True)
    assert figure is not None
    under = ScaledTranslation(0, -0.12 - 0.16 * n_lines, figure.dpi_scale_trans)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False, fontsize=9,
                bbox_transform=axes.transAxes + under, labelcolor=look.ink, handletextpad=0.4,
                columnspacing=1.0, borderaxespad=0)  # fmt: skip


def _draw_pictures(
    row: SubFigure, example: BeforeAndAfter, outcomes: Sequence[Outcome], without: str, look: Theme
) -> None:
    """Draw what the agent sees with everything, and without each part."""
    panels: Any = row.subplots(1, len(outcomes) + 1)
    numbers = range(1, len(outcomes) + 1)
    titles = [WHOLE, *(f"{without} {number}" for number in numbers)]
    if without != "without":
        titles[1] = "without 1"
    for i, (axes, outcome) in enumerate(zip(panels, (example.before, *outcomes), strict=True)):
        if outcome.picture is None:
            axes.set_axis_off()
            axes.text(0.5, 0.5, f"without\n{example.names[i - 1]}", ha="center", va="center",
                      color=look.faint, transform=axes.transAxes)  # fmt: skip
        else:
            _draw_picture(axes, outcome.picture, titles[i], look)
            height, width = outcome.picture.shape[:2]
            gone = () if i == 0 else range(i) if without != "without" else (i - 1,)
            for part in gone:
                pixels = example.outlines[part] if part < len(example.outlines) else None
                if pixels is not None:
                    _outline(axes, pixels, (0, width, height, 0))
        chance = format_probability(outcome.probability)
        action = outcome.action if len(outcome.action) <= _WORDS else outcome.action[:_WORDS] + "…"
        if example.measure == SIMILARITY:
            chance += " similar"
        elif outcome.changed:
            chance += f" {example.action}"
        axes.set_xlabel(
            f"{action}\n{chance}",
            color=CHANGED if outcome.changed and i else look.ink,
            fontsize=9.5,
        )
        for spine in axes.spines.values():
            spine.set(visible=outcome.changed and i > 0, color=CHANGED, linewidth=3)


def _draw_picture(axes: Axes, picture: Frame, title: str, look: Theme) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, loc="left", fontsize=10.5, color=look.ink, pad=4)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _outline(
    axes: Axes,
    pixels: NDArray[np.bool_],
    extent: tuple[float, float, float, float],
    name: str = "",
) -> None:
    """Outline a mask of the grid that covers ``extent`` (left, right, bottom, top)."""
    left, right, bottom, top = extent
    rows, columns = pixels.shape
    # four times finer, so that the line follows the edges of the pixels
    fine = np.pad(pixels.repeat(4, axis=0).repeat(4, axis=1), 2).astype(float)
    x = left + (np.arange(-2, 4 * columns + 2) + 0.5) * (right - left) / (4 * columns)
    y = top + (np.arange(-2, 4 * rows + 2) + 0.5) * (bottom - top) / (4 * rows)
    with mpl.rc_context({"contour.negative_linestyle": "solid"}):
        axes.contour(x, y, fine, levels=[0.5], colors="white", linewidths=1.2)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    if name:
        # at the pixel nearest to the top right: a corner of the bounding box may be far off
        places = np.argwhere(pixels)
        row, column = places[(places[:, 1] - places[:, 0]).argmax()]
        axes.annotate(
            name,
            (left + (column + 1) * (right - left) / columns, top + row * (bottom - top) / rows),
            xytext=(2, 2),
            textcoords="offset points",
            color="white",
            fontsize=10,
            fontweight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="black")],
        )
