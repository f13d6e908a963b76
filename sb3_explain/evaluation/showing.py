"""An evaluation as people see it: a table of explainers by metrics, and a figure."""

from __future__ import annotations

import math
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.notebook import write_facts, write_table

if TYPE_CHECKING:
    import pandas as pd

    from sb3_explain.report.explanation_figure import ExplanationFigure
    from sb3_explain.report.palette import ThemeName


#: number of characters of a printed line
WIDTH = 100


class ShownEvaluation(ABC):
    """Shows intervals by explainer and metric."""

    @property
    @abstractmethod
    def intervals(self) -> Mapping[str, Mapping[str, Interval]]:
        """Mean with its interval, by explainer and metric."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as in ``metrics.json``."""

    @abstractmethod
    def summary(self) -> list[str]:
        """Return in few sentences what was found, and what is not shown."""

    def __str__(self) -> str:
        """Write :meth:`pivot` and :meth:`summary`, as ``print`` shows them."""
        table = self.pivot().to_string(line_width=WIDTH)
        sentences = [textwrap.fill(said, WIDTH) for said in self.summary()]
        return "\n".join([f"{self!r}", "", table, "", *sentences])

    def pivot(self) -> pd.DataFrame:
        """Return a row for each explainer and a column for each metric, of texts.

        >>> from sb3_explain import Gradient, evaluate
        >>> evaluate(agent, test, [Gradient(agent)], ["sparseness"], n_resamples=100).pivot().shape
        (4, 1)
        """
        from sb3_explain.common.whole_table import WholeTable

        metrics = list(dict.fromkeys(name for row in self.intervals.values() for name in row))
        texts = [
            [format_interval(row.get(metric)) for metric in metrics]
            for row in self.intervals.values()
        ]
        return WholeTable(texts, index=list(self.intervals), columns=metrics)

    def plot(
        self, metrics: Iterable[str] | None = None, *, theme: ThemeName = "light"
    ) -> ExplanationFigure:
        """Draw the mean and interval of every explainer, in one panel for each metric.

        :param metrics: names of metrics; when not given all that are of more than controls
        :param theme: ``"light"`` or ``"dark"``
        :return: a matplotlib Figure, whose ``image()`` is a PIL image
        :raises ExplainError: for a metric that was not measured
        """
        from sb3_explain.report.explanation_figure import draw_evaluation
        from sb3_explain.report.wording import Wording

        measured = self.to_dict()
        wording = Wording.read(measured["states"])
        return draw_evaluation(measured["explainers"], metrics, wording=wording, theme=theme)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: :meth:`pivot`, and what was measured."""
        table = self.pivot()
        rows = [(str(row[0]), *map(str, row[1:])) for row in table.itertuples()]
        shown = write_table(("explainer", *map(str, table.columns)), rows)
        return write_facts(repr(self), {}) + shown


def replace_nan(interval: Interval) -> dict[str, float | int | None]:
    """Return an interval for JSON, which has neither NaN nor infinity."""
    return {key: x if math.isfinite(x) else None for key, x in interval._asdict().items()}


def format_interval(interval: Interval | None) -> str:
    """Format a mean with its interval: ``0.85 [0.80, 0.90]``; nothing where there is none."""
    if interval is None or not math.isfinite(interval.mean):
        return ""
    # what rounding leaves of zero is zero
    mean, low, high = (
        "0" if abs(each) < 1e-12 else f"{each:.3g}"
        for each in (interval.mean, interval.low, interval.high)
    )
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return mean
    return f"{mean} [{low}, {high}]"
