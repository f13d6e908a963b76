"""The figure of a diagnosis: a panel of bars for each thing that was measured."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_explain.common.bootstrap import Interval
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png
from sb3_explain.report.palette import Theme, ThemeName

#: colors of bars within their limit and beyond it
WITHIN, BEYOND = "#3a86d1", "#d9534a"
#: inches of a panel, of a bar in it, and the largest number of bars that are drawn
WIDTH, BAR, MOST = 7.0, 0.27, 16
#: letters of the longest label
LETTERS = 34


@dataclasses.dataclass(frozen=True)
class Bars:
    """Numbers with intervals, and the limit beyond which they are a finding.

    :param title: what is shown, in one line
    :param unit: what the numbers are
    :param labels: (K,) name of each number
    :param values: (K,) the numbers
    :param lows: (K,) lower bounds; the numbers themselves when not given
    :param highs: (K,) upper bounds; the numbers themselves when not given
    :param limit: the limit; ``None`` for none
    :param beyond: (K,) whether each number is beyond it
    """

    title: str
    unit: str
    labels: Sequence[str]
    values: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    limit: float | None = None
    beyond: Sequence[bool] = ()

    @classmethod
    def of_intervals(
        cls,
        title: str,
        unit: str,
        intervals: Mapping[str, Interval],
        *,
        limit: float | None = None,
        beyond: Sequence[bool] = (),
    ) -> Bars:
        """Make bars of means with their intervals.

        :param title: what is shown, in one line
        :param unit: what the numbers are
        :param intervals: K intervals by the names of the numbers
        :param limit: the limit; ``None`` for none
        :param beyond: (K,) whether each number is beyond it
        """
        means, lows, highs, _ = zip(*intervals.values(), strict=True)
        return cls(title, unit, list(intervals), means, lows, highs, limit, beyond)


@plain_fonts
def diagnosis_figure(panels: Sequence[Bars], *, theme: ThemeName = "light") -> bytes:
    """Draw panels of bars under each other, bars beyond their limit in red.

    Of more than 16 bars those that matter are drawn: beyond the limit, then the largest.

    :param panels: the panels, at least one
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    counts = [min(len(one.labels), MOST) for one in panels]
    heights = [0.95 + BAR * max(count, 2) for count in counts]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, bars in zip(grid[:, 0], panels, strict=True):
        _draw(axes, bars, look)
    return render_png(figure, look)


def _draw(axes: Axes, bars: Bars, look: Theme) -> None:
    values = np.nan_to_num(np.asarray(bars.values, float))
    beyond = np.asarray(bars.beyond or [False] * len(values))
    chosen = np.sort(np.lexsort((-np.abs(values), ~beyond))[:MOST])
    lows = np.asarray(bars.lows or values, float)[chosen]
    highs = np.asarray(bars.highs or values, float)[chosen]
    shown = values[chosen]
    spans = np.nan_to_num(np.stack([shown - lows, highs - shown]).clip(0))
    places = np.arange(len(chosen))
    colors = [BEYOND if red else WITHIN for red in beyond[chosen]]
    axes.barh(places, shown, xerr=spans, color=colors, ecolor=look.faint, height=0.7)
    labels = [str(bars.labels[i]) for i in chosen]
    axes.set_yticks(places, [textwrap.shorten(one, LETTERS, placeholder="…") for one in labels])
    axes.invert_yaxis()
    if bars.limit is not None:
        axes.axvline(bars.limit, color=look.ink, linestyle="--", linewidth=1)
    left_out = len(values) - len(chosen)
    axes.set_xlabel(bars.unit + (f" ({left_out} more)" if left_out else ""), color=look.faint)
    axes.set_title(bars.title, **{**TITLE, "fontsize": 11}, color=look.ink)
    axes.tick_params(colors=look.ink)
    axes.set_facecolor(look.paper)
    axes.grid(axis="x", color=look.grid)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(look.faint)
