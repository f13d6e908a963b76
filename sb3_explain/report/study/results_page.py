"""results.html: what a study found, in a single file that opens offline."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.common.files import write_text
from sb3_explain.report.page import Picture, encode_figure
from sb3_explain.report.page_template import render_page
from sb3_explain.report.words import MISSING

#: title, caption and description of each figure
FIGURES = {
    "gain": (
        "Do maps help to predict?",
        "How much more predictions gain from the first to the second look, compared between arms. "
        "Bars are 95 % intervals over participants.",
        "differences of the gains of arms",
    ),
    "right": (
        "How often answers are right",
        "Thick: 95 % interval over participants, for the same states. Thin: over participants and "
        "states, for other states as well. Placebos and no map are gray.",
        "share of right answers by task and arm",
    ),
    "opinions": (
        "Does the map help you to understand the decision?",
        "Responses and positive ones for each question, in the form of figure 3 of the VisionMask "
        "paper; above them the share of positive ones with its Wilson interval.",
        "number of responses and of positive responses by question and arm",
    ),
}


@dataclasses.dataclass(frozen=True)
class ResultTable:
    """A table of results.

    :param title: title
    :param note: what its columns mean
    :param heads: heads of the columns
    :param rows: values, the first of which heads its row
    """

    title: str
    note: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_results_page(
    path: Path,
    *,
    title: str,
    sentences: Sequence[str],
    figures: Mapping[str, bytes],
    tables: Sequence[ResultTable],
    provenance: Mapping[str, Any],
) -> Path:
    """Write the page; the file appears only when it is complete.

    :param path: path of the file
    :param title: title of the page
    :param sentences: what was found, the most important first
    :param figures: PNG by the names of :data:`FIGURES`
    :param tables: tables below the figures
    :param provenance: plain data for the last section
    """
    shown = [
        {"title": head, "figure": encode_figure(Picture(figures[name], caption, alt))}
        for name, (head, caption, alt) in FIGURES.items()
        if name in figures
    ]
    page = render_page(
        "study/results.html.j2", title=title, date="", sentences=sentences, figures=shown,
        tables=tables, provenance=provenance,
    )  # fmt: skip
    write_text(path, page)
    return path


def show_share(value: float) -> str:
    """Show a share in percent, or a dash where there is none."""
    return MISSING if math.isnan(value) else f"{100 * value:.1f} %"


def show_range(low: float, high: float, *, signed: bool = False) -> str:
    """Show the bounds of an interval in percent, or a dash where there is none."""
    if math.isnan(low) or math.isnan(high):
        return MISSING
    return (
        f"{100 * low:+.1f} to {100 * high:+.1f}"
        if signed
        else f"{100 * low:.1f} to {100 * high:.1f}"
    )


def show_number(value: float, form: str = ".3g") -> str:
    """Show a number, or a dash where there is none."""
    return MISSING if math.isnan(value) else format(value, form)
