"""Figures as PNG: the curves and metrics of all explainers.

They use matplotlib's objects and its Agg backend, never pyplot, whose state is global.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from sb3_explain.common.controls import list_controls
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import atomic_path
from sb3_explain.report.palette import THEMES, Style, Theme, ThemeName, assign_styles
from sb3_explain.report.words import (
    MISSING,
    MetricWords,
    Table,
    format_number,
    get_explainer_label,
    get_metric_words,
    list_metric_names,
    read_bounds,
)

_DPI = 150
TITLE: Mapping[str, Any] = {"loc": "left", "fontsize": 13, "fontweight": "bold"}
#: inches of a panel of a metric; of a letter of its title in full size, and of an explainer's label
PANEL, TITLE_LETTER, LABEL_LETTER = 5.1, 0.103, 0.092
# Whatever the user's own settings are; a `$` in a name is no formula.
plain_fonts = mpl.rc_context({"font.family": "DejaVu Sans", "text.parse_math": False})
_AXIS = {
    "insertion": "share revealed, most important first",
    "deletion": "share removed, most important first",
    "value_preservation": "share revealed, most important first",
}

#: explainer -> ``"insertion"``, ``"deletion"`` or ``"value_preservation"`` -> n + 1 means
Curves = Mapping[str, Mapping[str, Sequence[float]]]


def save(path: str | Path, png: bytes) -> None:
    """Write a figure to a PNG file, which appears only when it is complete."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(png)


@plain_fonts
def curve_figure(
    curves: Curves,
    kinds: Sequence[str] = ("insertion", "deletion"),
    *,
    explainers: Sequence[str] | None = None,
    controls: Collection[str] | None = None,
    theme: ThemeName = "light",
    outcome: str = "probability of the action",
) -> bytes:
    """Draw what the agent says of the action, or the value, while an observation is revealed.

    The legend is in the order of the areas under the curves, best first.

    :param curves: explainer -> kind -> n + 1 values: probabilities, or, for
        ``"value_preservation"``, changes of a quantity; an explainer may lack a kind
    :param kinds: kinds of curves, each a panel
    :param explainers: explainers of the other figures, for equal colors; by default those of the
        curves
    :param controls: names of the controls, which are drawn gray and dashed; when not given, those
        of the explainers
    :param theme: ``"light"`` or ``"dark"``
    :param outcome: what the curves are of: Box actions and quantities have no probability
    :return: PNG
    """
    look = get_theme(theme)
    shown = curves if explainers is None else explainers
    drawn = assign_styles(shown, list_controls(shown) if controls is None else controls)
    # Room for the legend: one line per explainer, under the axes.
    height = 3.0 + 0.22 * len(curves)
    layout = ConstrainedLayoutEngine()
    figure = Figure(figsize=(4.6 * len(kinds), height), layout=layout)
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        _draw_curves(axes, curves, kind, drawn, look)
        axes.set_ylabel(f"mean {outcome}")
    layout.execute(figure)  # ticks change with the first layout, and need other room
    return render_png(figure, look)


def _draw_curves(
    axes: Axes, curves: Curves, kind: str, drawn: Mapping[str, Style], look: Theme
) -> None:
    said = get_metric_words(kind)
    lines = []
    for name, style in drawn.items():
        values = np.asarray(curves.get(name, {}).get(kind, ()), dtype=float)
        if len(values) < 2 or not np.isfinite(values).all():
            continue
        # trapezoid rule at spacing 1/n
        area = float((values[:-1] + values[1:]).mean() / 2)
        solid = not style.dashes
        (line,) = axes.plot(
            np.linspace(0, 1, len(values)),
            values,
            color=style.color,
            linewidth=2.2 if solid else 1.6,
            linestyle="-" if solid else (0, style.dashes),
            zorder=3 if solid else 2,
        )
        lines.append((area, f"{shorten_label(name)}  {area:.3f}", line))
    lines.sort(key=lambda line: line[0], reverse=said.better == "up")
    axes.set_title(f"{said.label} {said.arrow}", color=look.ink, **TITLE)
    axes.set_xlabel(_AXIS.get(kind, "share of the observation"))
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    if lines:
        axes.legend(
            [line for *_, line in lines],
            [label for _, label, _ in lines],
            loc="upper left",
            bbox_to_anchor=(0, -0.21),
            frameon=False,
            fontsize=10,
            title=f"area under the curve, {'highest' if said.better == 'up' else 'lowest'} first",
            title_fontsize=9.5,
            alignment="left",
            labelcolor=look.ink,
        ).get_title().set_color(look.faint)
    style_axes(axes, look)


@plain_fonts
def metric_figure(
    table: Table,
    names: Sequence[str] | None = None,
    *,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    theme: ThemeName = "light",
    columns: int = 3,
) -> bytes:
    """Draw the mean and interval of every explainer, in one panel per metric.

    :param table: the ``explainers`` of metrics.json; missing and NaN values stay empty
    :param names: names of the metrics; all by default
    :param controls: names of the controls, which are drawn gray; when not given, those of the table
    :param words: presentation of further metrics
    :param theme: ``"light"`` or ``"dark"``
    :param columns: largest number of panels side by side
    :return: PNG
    :raises ExplainError: if there is no metric to draw
    """
    figure = Figure(layout="constrained")
    draw_metrics(figure, table, names, controls=controls, words=words, theme=theme, columns=columns)
    return render_png(figure, get_theme(theme))


def draw_metrics(
    figure: Figure,
    table: Table,
    names: Sequence[str] | None = None,
    *,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    theme: ThemeName = "light",
    columns: int = 3,
) -> None:
    """Draw what :func:`metric_figure` draws into a figure, whose size is set.

    :param figure: an empty figure; the other parameters are those of :func:`metric_figure`
    :raises ExplainError: if there is no metric to draw
    """
    look = get_theme(theme)
    names = list_metric_names(table) if names is None else list(names)
    if not names or not table:
        raise ExplainError("no metric to draw: evaluate at least one explainer first")
    columns = min(columns, len(names))
    controls = list_controls(table) if controls is None else controls
    drawn = assign_styles(table, controls)
    shown = [_list_shown(table, name, controls) for name in names]
    lines = [max(map(len, shown[i : i + columns])) for i in range(0, len(names), columns)]
    heights = [1.05 + 0.28 * n for n in lines]
    # every panel has names of its own: not each metric is of every explainer
    figure.set_size_inches(PANEL * columns, sum(heights))
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for i, axes in enumerate(grid.flat):
        if i < len(names):
            said, few = get_metric_words(names[i], words), {name: drawn[name] for name in shown[i]}
            _draw_metric(axes, table, names[i], said, few, look)
            axes.set_ylim(lines[i // columns] - 0.5, -0.5)
        else:
            axes.set_axis_off()
    figure.set_facecolor(look.paper)


def _list_shown(table: Table, name: str, controls: Collection[str]) -> list[str]:
    """List the explainers of a metric: controls that it is not of are left out."""
    shown = [
        explainer
        for explainer, row in table.items()
        if explainer not in controls or read_bounds(row.get(name)) is not None
    ]
    return shown or list(table)


def _draw_metric(
    axes: Axes,
    table: Table,
    name: str,
    said: MetricWords,
    drawn: Mapping[str, Style],
    look: Theme,
) -> None:
    seen = [b for row in table.values() if (b := read_bounds(row.get(name))) is not None]
    for y, (explainer, style) in enumerate(drawn.items()):
        estimate = read_bounds(table[explainer].get(name))
        if estimate is None:
            left = axes.get_yaxis_transform()
            axes.text(0.01, y, MISSING, transform=left, va="center", color=look.faint)
            continue
        mean, start, stop = estimate
        axes.plot([start, stop], [y, y], color=style.color, linewidth=5, alpha=0.45)
        axes.plot([mean], [y], "o", color=style.color, markersize=7)
        axes.annotate(
            format_number(mean),
            (stop, y),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=look.faint,
        )
    set_scale(axes, seen, said)
    axes.set_yticks(range(len(drawn)), [shorten_label(explainer) for explainer in drawn])
    title = f"{said.label} {said.arrow}"
    # a long one would leave the panel, the more so beside long labels
    room = PANEL - LABEL_LETTER * max(map(len, map(shorten_label, drawn))) - 0.15
    size = TITLE["fontsize"] * min(1.0, room / (TITLE_LETTER * len(title)))
    axes.set_title(title, color=look.ink, **{**TITLE, "fontsize": size})
    style_axes(axes, look)
    axes.grid(visible=False, axis="y")


def set_scale(axes: Axes, seen: Sequence[tuple[float, float, float]], said: MetricWords) -> None:
    """Set the horizontal axis of a metric.

    :param axes: the panel
    :param seen: mean, low and high of every explainer
    :param said: presentation of the metric
    """
    low, high = min((b[1] for b in seen), default=0), max((b[2] for b in seen), default=1)
    # Shares start at 0, so that lengths compare; there is room on the right for the numbers.
    floor = 0.0 if low > -1e-9 else low - 0.05 * (high - low)
    axes.set_xlim(floor, high + 0.25 * ((high - floor) or 1))
    axes.set_xlabel({"up": "more is better", "down": "less is better", None: ""}[said.better])
    # few, and none at the right end, where it would meet the next panel's first
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], prune="upper"))
    threshold = find_linear_threshold(seen)
    if threshold is not None:
        # Linear below the smallest value, so that 0 has a place.
        axes.set_xscale("symlog", linthresh=threshold, linscale=0.3)
        axes.set_xlim(0, 4 * high)
        axes.xaxis.set_major_locator(FixedLocator([0, *_powers_of_ten(3 * threshold, high)]))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(f"{axes.get_xlabel()} (logarithmic)")
    elif high <= 1:
        # The axis of a share has no ticks outside [0, 1].
        axes.set_xticks([tick for tick in axes.get_xticks() if floor <= tick <= 1])


def find_linear_threshold(seen: Sequence[tuple[float, float, float]]) -> float | None:
    """Find the smallest positive mean of a metric that needs a logarithmic axis.

    :param seen: mean, low and high of every explainer
    :return: ``None`` if a linear axis is good enough
    """
    above = [mean for mean, *_ in seen if mean > 0]
    high = max((b[2] for b in seen), default=0)
    if not above or min(b[1] for b in seen) < 0 or high <= max(1, 50 * min(above)):
        return None
    return min(above)


def shorten_label(explainer: str) -> str:
    """Shorten the label of an explainer to 24 letters."""
    return textwrap.shorten(get_explainer_label(explainer), 24, placeholder=" …")[:24]


def _powers_of_ten(low: float, high: float) -> list[float]:
    """List the powers of ten between two positive numbers, at most five."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [10.0**power for power in powers[:: math.ceil(len(powers) / 5) or 1]]


def get_theme(name: ThemeName) -> Theme:
    """Look up a theme by its name.

    :raises ExplainError: if the name is unknown
    """
    if name not in THEMES:
        raise unknown_name("theme", name, THEMES)
    return THEMES[name]


def style_axes(axes: Axes, look: Theme) -> None:
    """Give axes the common style."""
    axes.set_facecolor(look.paper)
    axes.grid(color=look.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=6, labelsize=10.5, labelcolor=look.ink)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(look.faint)
        label.set_fontsize(10.5)


def render_png(figure: Figure, look: Theme) -> bytes:
    """Render a figure, on the background of a theme, as a PNG."""
    canvas = FigureCanvasAgg(figure)
    figure.set_facecolor(look.paper)
    figure.set_dpi(_DPI)
    buffer = io.BytesIO()
    # `savefig` draws twice, the first time for the layout, which drawing once makes as well.
    # Without the version, equal figures are equal files.
    canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
