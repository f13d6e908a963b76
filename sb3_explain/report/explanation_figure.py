"""The figure of an explanation: panels in rows, each with a color bar."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sb3_explain.common.controls import list_controls
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.report.figures import draw_metrics, get_theme, plain_fonts
from sb3_explain.report.palette import Theme, ThemeName
from sb3_explain.report.panels import Panel
from sb3_explain.report.scales import format_tick
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import Table, get_metric_words, list_metric_names

_DPI = 110
#: inches for a color bar, and for a line of a heading
_BAR, _LINE = 0.75, 0.22
#: height of a panel in inches that a line on its color bar does not fit
LOW = 1.9
#: inches for a letter of a title
_LETTER = 0.115
#: inches for a letter and a line of a note
_NOTE_LETTER, _NOTE_LINE = 0.066, 0.16


class ExplanationFigure(Figure):
    """A matplotlib Figure that notebooks show, and that is an image on request.

    It belongs to no window and to no global state of pyplot: nothing has to be closed.

    >>> from sb3_explain import plot
    >>> figure = plot(agent, states.observations([0]), "gradient")
    >>> figure.image().mode
    'RGB'
    """

    def image(self, dpi: float = _DPI) -> Image.Image:
        """Return the figure as a PIL image.

        :param dpi: pixels per inch
        """
        return Image.open(io.BytesIO(self.encode(dpi))).convert("RGB")

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows."""
        return self.encode(_DPI)

    def encode(self, dpi: float) -> bytes:
        """Return the figure as a PNG.

        :param dpi: pixels per inch
        """
        buffer = io.BytesIO()
        # Without the version, equal figures are equal files.
        self.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()

    @plain_fonts
    def savefig(self, fname: Any, **options: Any) -> None:
        """Write the figure to a file.

        :param fname: path whose suffix says the format, such as ``.png``, ``.pdf`` or ``.svg``; or
            an open file
        :param options: as :meth:`matplotlib.figure.Figure.savefig` takes them
        :raises ExplainError: if the path has no suffix of a format, or no folder
        """
        if isinstance(fname, str | os.PathLike) and "format" not in options:
            known = sorted(self.canvas.get_supported_filetypes())
            path = Path(fname)
            if path.suffix[1:].lower() not in known:
                raise ExplainError(
                    f"{str(path)!r}: give the figure a path that ends in .png, .pdf or .svg"
                )
            if not path.parent.is_dir():
                raise ExplainError(f"there is no folder {str(path.parent)!r}: make it first")
        super().savefig(fname, **options)


@plain_fonts
def explanation_figure(
    rows: Sequence[Sequence[Panel | None]],
    *,
    title: str = "",
    measure: str = "attribution",
    note: str = "",
    theme: ThemeName = "light",
) -> ExplanationFigure:
    """Draw panels in rows; all rows have equally many.

    :param rows: panels of each row; ``None`` leaves a place empty
    :param title: title above the figure, in one or more lines
    :param measure: name of what the color bars show
    :param note: text under the figure, for example which panels have one scale
    :param theme: ``"light"`` or ``"dark"``
    :raises ExplainError: if there are no panels, or the rows differ in length
    """
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
        raise ExplainError("a figure needs equally many panels in each row, one or more")
    look = get_theme(theme)
    columns = len(rows[0])
    widths = [
        max(one.size[0] + _BAR * (one.scale is not None) for row in rows if (one := row[i])) + 0.15
        for i in range(columns)
    ]
    heights = [
        max(one.size[1] + _LINE * (1 + len(one.heading.splitlines())) for one in row if one)
        for row in rows
    ]
    width = max(sum(widths), 3.4)
    titles = [
        part
        for line in title.replace(" %", "\N{NO-BREAK SPACE}%").splitlines()
        for part in textwrap.wrap(line, int(width / _LETTER))
    ]
    above = 0.3 * len(titles)
    under = textwrap.wrap(note, int(width / _NOTE_LETTER))
    height = sum(heights) + above + 0.1 + _NOTE_LINE * len(under)
    figure = ExplanationFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.set_facecolor(look.paper)
    grid = figure.add_gridspec(len(rows), columns, width_ratios=widths, height_ratios=heights)
    for number, row in enumerate(rows):
        for column, panel in enumerate(row):
            if panel is not None:
                _draw_panel(figure, figure.add_subplot(grid[number, column]), panel, measure, look)
    if under:
        said = "\n".join(under)
        figure.supxlabel(said, x=0.012, ha="left", color=look.faint, fontsize=8)
    if titles:
        said = "\n".join(titles)
        figure.suptitle(said, x=0.012, ha="left", color=look.ink, fontsize=12, fontweight="bold")
    return figure


def _draw_panel(figure: Figure, axes: Axes, panel: Panel, measure: str, look: Theme) -> None:
    panel.draw(axes, look)
    axes.set_title(panel.heading, loc="left", fontsize=9.5, color=look.ink, pad=4)
    if panel.scale is None:
        return
    scale = panel.scale
    bar = figure.colorbar(scale.color(gray=panel.gray), ax=axes, fraction=0.06, pad=0.03)
    if scale.empty:
        said = axes.text(0.5, 0.5, "empty", transform=axes.transAxes, ha="center", va="center")
        said.set(color=look.faint, bbox={"facecolor": look.paper, "edgecolor": "none"})
        bar.set_ticks([0], labels=["0"])
        label = "empty: 0 everywhere"
    else:
        low = [-scale.peak] if scale.signed and not panel.gray else []
        ticks = [*low, 0, scale.peak]
        bar.set_ticks(ticks, labels=[format_tick(tick) for tick in ticks])
        colors = "blue lowers, orange raises it"
        if panel.size[1] < LOW:
            colors = "blue lowers,\norange raises it"
        label = measure if not low else f"{measure}\n{colors}"
        label = f"magnitude of the {measure}" if panel.gray else label
    bar.set_label(label, fontsize=7.5, color=look.faint)
    bar.ax.tick_params(labelsize=8, length=2, colors=look.faint)
    bar.outline.set_visible(False)


@plain_fonts
def draw_evaluation(
    table: Table,
    metrics: Iterable[str] | None = None,
    *,
    wording: Wording | None = None,
    theme: ThemeName = "light",
) -> ExplanationFigure:
    """Draw the mean and interval of every explainer, in one panel for each metric.

    :param table: the ``explainers`` of metrics.json
    :param metrics: names of metrics; when not given all that are of more than controls
    :param wording: words for the kind of agent; for one of pictures when not given
    :param theme: ``"light"`` or ``"dark"``
    :raises ExplainError: for a metric that is not in the table
    """
    names = None if metrics is None else list(metrics)
    require_known("metric of this evaluation", names or (), list_metric_names(table))
    figure = ExplanationFigure(layout="constrained")
    FigureCanvasAgg(figure)
    controls = list_controls(table)
    explained = {name: row for name, row in table.items() if name not in controls}
    names = names or list_metric_names(explained) or list_metric_names(table)
    words = {name: get_metric_words(name, None, wording) for name in names}
    draw_metrics(figure, table, names, words=words, theme=theme)
    return figure
