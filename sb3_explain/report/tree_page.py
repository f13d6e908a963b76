"""tree.html: a policy as a decision tree, in a single file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.common.files import write_text
from sb3_explain.report.diagnosis_figure import Bars, diagnosis_figure
from sb3_explain.report.page import Picture, encode_figure
from sb3_explain.report.page_template import render_page
from sb3_explain.report.siblings import list_siblings


def write_tree_page(
    path: Path,
    *,
    title: str,
    results: Sequence[str],
    picture: bytes | None,
    bars: Sequence[Bars],
    rules: str,
    codes: Mapping[str, str],
    date: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page; the file appears only when it is complete.

    :param path: path of the file
    :param title: title of the page
    :param results: what was measured, in sentences
    :param picture: the tree as a PNG; ``None`` if it is too large
    :param bars: what was measured, as bars
    :param rules: the tree in words
    :param codes: the tree as code, by the name of the language
    :param date: date of the measurement, as it is shown
    :param provenance: plain data for the last section
    :return: path of the file
    """
    said = "; ".join(results)
    drawn = picture and Picture(picture, "Its questions; below, the same in words.", said)
    measured = bars and Picture(diagnosis_figure(bars), "Means with their 95 % intervals.", said)
    page = render_page(
        "tree.html.j2",
        siblings=list_siblings(path),
        title=title,
        date=date,
        results=results,
        picture=encode_figure(drawn) if drawn else None,
        measured=encode_figure(measured) if measured else None,
        rules=rules,
        codes=dict(codes),
        provenance=provenance or {},
    )
    write_text(path, page)
    return path
