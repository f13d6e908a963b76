"""Figures of many explainers on one or several agents: radar charts and bar charts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from sb3_explain.common.controls import list_controls
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.figures import (
    TITLE,
    find_linear_threshold,
    get_theme,
    plain_fonts,
    render_png,
    set_scale,
    shorten_label,
    style_axes,
)
from sb3_explain.report.palette import Theme, ThemeName
from sb3_explain.report.tables import make_metric_rows
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import (
    MetricWords,
    Table,
    format_number,
    get_metric_words,
    has_interval,
    read_bounds,
)

#: colors of the best, of other methods, and of the controls: readable on light and dark
_BEST, _METHOD, _CONTROL = "#d9720b", "#3a86d1", "#82868e"
#: the control that a radar is compared with
_NOTHING = "random"
#: number of rows and columns that the list of the axes takes
_KEY = 2
#: sizes in inches: a radar with its margins, and the title of a block with its margins
_SIDE, _HEAD = 2.2, 0.9


@plain_fonts
def bar_figure(
    tables: Mapping[str, Table],
    names: Sequence[str],
    notes: Mapping[str, Mapping[str, str]],
    *,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    wordings: Mapping[str, Wording] | None = None,
    theme: ThemeName = "light",
    columns: int = 4,
) -> bytes:
    """Draw the mean and interval of every explainer: a panel per metric and a block per agent.

    :param tables: agent -> explainer -> metric -> estimate
    :param names: names of the metrics, in order
    :param notes: agent -> explainer -> reason why it has no figures
    :param controls: names of the controls, which are drawn gray and last; when not given, those of
        each table
    :param words: presentation of further metrics
    :param wordings: words for the kind of each agent
    :param theme: ``"light"`` or ``"dark"``
    :param columns: number of panels side by side
    :return: PNG
    :raises ExplainError: if there is nothing to draw
    """
    look = get_theme(theme)
    n_rows = math.ceil(len(names) / columns)
    heights = [0.75 + n_rows * (1.1 + 0.23 * len(table)) for table in tables.values()]
    figure = Figure(figsize=(2.0 + 3.1 * columns, sum(heights)), layout="constrained")
    for part, (agent, table) in zip(_split_figure(figure, heights), tables.items(), strict=True):
        known = list_controls(table) if controls is None else controls
        rows = make_metric_rows(table, names, known, words)
        part.suptitle(
            f"{agent}{describe_marks(table, names, rows)}",
            x=0.01, ha="left", fontsize=12, color=look.ink,
        )  # fmt: skip
        grid = part.subplots(n_rows, columns, squeeze=False, sharey=True)
        for i, axes in enumerate(grid.flat):
            if i < len(names):
                said = get_metric_words(names[i], words, (wordings or {}).get(agent))
                _draw_bars(axes, table, names[i], said, rows, i, notes.get(agent, {}), look)
            else:
                axes.set_axis_off()
    return render_png(figure, look)


def describe_marks(table: Table, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what colors and lines mean, of those that are there."""
    marks = {
        "orange: the best method and those that are not clearly worse": any(
            value["best"] for row in rows for value in row["values"]
        ),
        "gray: controls": any(row["control"] for row in rows),
        "lines: 95 % intervals": any(
            has_interval(row.get(name)) for row in table.values() for name in names
        ),
    }
    said = "; ".join(text for text, there in marks.items() if there)
    return f"   ({said})" if said else ""


def _draw_bars(
    axes: Axes,
    table: Table,
    name: str,
    said: MetricWords,
    rows: Sequence[Mapping[str, Any]],
    column: int,
    notes: Mapping[str, str],
    look: Theme,
) -> None:
    seen = [b for row in table.values() if (b := read_bounds(row.get(name))) is not None]
    set_scale(axes, seen, said)
    left, right = axes.get_xlim()
    if left < 0:  # bars start at 0, which may lie right of all that is seen
        axes.set_xlim(left, max(right, -0.25 * left))
        axes.axvline(0, color=look.faint, linewidth=0.8)
    for y, row in enumerate(rows):
        estimate = read_bounds(table[row["name"]].get(name))
        if estimate is None:
            why = notes.get(row["name"], "").partition(":")[0] or "does not apply"
            axes.text(
                0.01, y, why, transform=axes.get_yaxis_transform(),
                va="center", fontsize=8.5, color=look.faint, fontstyle="italic",
            )  # fmt: skip
            continue
        mean, low, high = estimate
        best = row["values"][column]["best"]
        color = _CONTROL if row["control"] else _BEST if best else _METHOD
        axes.barh(y, mean, 0.72, color=color, alpha=0.8)
        axes.plot([low, high], [y, y], color=look.ink, linewidth=1.6, solid_capstyle="butt")
        axes.annotate(
            format_number(mean), (max(mean, high, 0), y), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=9, color=look.ink if best else look.faint,
        )  # fmt: skip
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [shorten_label(row["name"]) for row in rows])
    axes.set_title(f"{said.label} {said.arrow}", color=look.ink, **TITLE)
    style_axes(axes, look)
    axes.grid(visible=False, axis="y")


@plain_fonts
def radar_figure(
    tables: Mapping[str, Table],
    names: Sequence[str],
    notes: Mapping[str, Mapping[str, str]],
    *,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    wordings: Mapping[str, Wording] | None = None,
    theme: ThemeName = "light",
    columns: int = 6,
) -> bytes:
    """Draw a radar chart per explainer, in a block per agent.

    An axis goes from the worst mean of the agent's explainers at the center to the best at the rim;
    a list at the start of a block names the axes and both means. A single radar for more than about
    five explainers would be unreadable. Metrics without a better direction are left out, and those
    that only one explainer has.

    :param tables: agent -> explainer -> metric -> estimate
    :param names: names of the metrics, in order
    :param notes: agent -> explainer -> reason why it has no figures
    :param controls: names of the controls, which are drawn gray and last; when not given, those of
        each table
    :param words: presentation of further metrics
    :param wordings: words for the kind of each agent
    :param theme: ``"light"`` or ``"dark"``
    :param columns: number of radars side by side
    :return: PNG
    :raises ExplainError: if there is nothing to draw
    """
    look = get_theme(theme)
    axes_of = {
        agent: _make_spokes(table, names, words, (wordings or {}).get(agent))
        for agent, table in tables.items()
    }
    n_rows = {
        agent: _KEY + max(0, math.ceil((len(table) - _KEY * (columns - _KEY)) / columns))
        for agent, table in tables.items()
    }
    heights = [_HEAD + _SIDE * n for n in n_rows.values()]
    # A fixed grid: an automatic layout shrinks the radars to make room for their labels.
    figure = Figure(figsize=(_SIDE * columns, sum(heights)))
    for part, height, agent in zip(_split_figure(figure, heights), heights, tables, strict=True):
        table, why, spokes = tables[agent], notes.get(agent, {}), axes_of[agent]
        dashed = f"; dashed: {shorten_label(_NOTHING)}" if table.get(_NOTHING) else ""
        part.suptitle(
            f"{agent}   (rim: the best of all; center: the worst{dashed})",
            x=0.01, y=1 - 0.15 / height, ha="left", fontsize=12, color=look.ink,
        )  # fmt: skip
        grid = part.add_gridspec(
            n_rows[agent], columns, wspace=0.4, hspace=0.42, left=0.2 / columns,
            right=1 - 0.2 / columns, top=1 - _HEAD / height, bottom=0.35 / height,
        )  # fmt: skip
        _draw_key(part.add_subplot(grid[:_KEY, :_KEY]), spokes, look)
        free = [
            grid[row, column]
            for row in range(n_rows[agent])
            for column in range(0 if row >= _KEY else _KEY, columns)
        ]
        known = list_controls(table) if controls is None else controls
        ordered = sorted(table, key=known.__contains__)
        for cell, name in zip(free, ordered, strict=False):
            axes = part.add_subplot(cell, projection="polar")
            color = _CONTROL if name in known else _METHOD
            _draw_radar(axes, table, name, spokes, color, why.get(name, ""), look)
    return render_png(figure, look)


@dataclasses.dataclass(frozen=True)
class Spoke:
    """An axis of a radar chart.

    :param metric: name of the metric
    :param label: label of the metric with its better direction
    :param worst: mean at the center
    :param best: mean at the rim
    :param logarithmic: whether the axis is logarithmic, from the smaller of the two on
    """

    metric: str
    label: str
    worst: float
    best: float
    logarithmic: bool

    def place(self, mean: float) -> float:
        """Return where a mean lies, from 0 at the center to 1 at the rim."""
        if self.worst == self.best:
            return 1.0
        ends = self.worst, self.best, max(mean, min(self.worst, self.best))
        worst, best, here = map(math.log, ends) if self.logarithmic else ends
        return (here - worst) / (best - worst)


def _make_spokes(
    table: Table,
    names: Sequence[str],
    words: Mapping[str, MetricWords] | None,
    wording: Wording | None,
) -> list[Spoke]:
    spokes = []
    for metric in names:
        said = get_metric_words(metric, words, wording)
        seen = [b for row in table.values() if (b := read_bounds(row.get(metric))) is not None]
        if said.better is None or len(seen) < 2:
            continue
        threshold = find_linear_threshold(seen)
        means = [max(mean, threshold or mean) for mean, *_ in seen]
        worst, best = (min, max) if said.better == "up" else (max, min)
        spokes.append(
            Spoke(
                metric,
                f"{said.label} {said.arrow}",
                worst(means),
                best(means),
                threshold is not None,
            )
        )
    return spokes


def _compute_angles(spokes: Sequence[Spoke]) -> NDArray[np.float64]:
    return np.linspace(0, 2 * np.pi, len(spokes), endpoint=False)


def _draw_key(axes: Axes, spokes: Sequence[Spoke], look: Theme) -> None:
    """Draw the list of the axes with their numbers and the means at their ends."""
    axes.set_axis_off()
    lines = [("", "axis", "center", "rim")] + [
        (
            str(i),
            spoke.label,
            format_number(spoke.worst),
            format_number(spoke.best) + " log." * spoke.logarithmic,
        )
        for i, spoke in enumerate(spokes, start=1)
    ]
    for i, line in enumerate(lines):
        for x, text in zip((0.0, 0.06, 0.6, 0.79), line, strict=True):
            axes.text(
                x, 1 - 0.078 * i, text, va="top", fontsize=9.5, color=look.ink if i else look.faint
            )


def _draw_radar(
    axes: Any,
    table: Table,
    name: str,
    spokes: Sequence[Spoke],
    color: str,
    note: str,
    look: Theme,
) -> None:
    _draw_web(axes, spokes, look)
    for i, angle in enumerate(_compute_angles(spokes), start=1):
        axes.text(angle, 1.14, i, ha="center", va="center", fontsize=7.5, color=look.faint)
    axes.set_title(shorten_label(name), color=look.ink, fontsize=10.5, fontweight="bold", y=1.16)
    compared = table[name] and name != _NOTHING
    outlines = [(_NOTHING, _CONTROL, 0.0, "--")] if compared else []
    for explainer, ink, fill, dashes in [*outlines, (name, color, 0.3, "-")]:
        row = table.get(explainer, {})
        known = [
            (angle, spoke.place(estimate[0]))
            for angle, spoke in zip(_compute_angles(spokes), spokes, strict=True)
            if (estimate := read_bounds(row.get(spoke.metric))) is not None
        ]
        if known:
            angles, places = np.array([*known, known[0]]).T
            axes.plot(
                angles,
                places,
                color=ink,
                linewidth=0.8 if dashes == "--" else 1.6,
                linestyle=dashes,
            )
            axes.fill(angles, places, color=ink, alpha=fill, linewidth=0)
        if known and fill:
            axes.plot(*np.array(known).T, "o", color=ink, markersize=3.5, clip_on=False)
    if note and not table[name]:
        axes.text(
            0, 0, note.partition(":")[0], ha="center", va="center", fontsize=9, color=look.ink,
            bbox={"facecolor": look.paper, "edgecolor": "none"},
        )  # fmt: skip


def _draw_web(axes: Any, spokes: Sequence[Spoke], look: Theme) -> None:
    """Draw the empty radar, with the first axis upwards and the others clockwise."""
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 1)
    axes.set_xticks(_compute_angles(spokes), [""] * len(spokes))
    axes.set_yticks([0.5, 1.0], ["", ""])
    axes.set_facecolor(look.paper)
    axes.grid(color=look.grid, linewidth=0.8)
    axes.spines["polar"].set_color(look.grid)


def _split_figure(figure: Figure, heights: Sequence[float]) -> list[SubFigure]:
    """Split a figure into blocks, one below the other.

    :raises ExplainError: if there is none
    """
    if not heights:
        raise ExplainError("no figures to draw: evaluate at least one explainer first")
    blocks = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    return list(blocks[:, 0])
