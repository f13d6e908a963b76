"""diagnosis.html: what is wrong with an agent, in a single file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.common.files import write_text
from sb3_explain.report.page import Picture, encode_figure
from sb3_explain.report.page_template import render_page
from sb3_explain.report.siblings import list_siblings


def write_diagnosis_page(
    path: Path,
    *,
    title: str,
    summary: str,
    findings: Sequence[tuple[Mapping[str, Any], Picture | None]],
    looks: Sequence[tuple[str, str, Picture | None]],
    skipped: Mapping[str, str],
    date: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page; the file appears only when it is complete.

    :param path: path of the file
    :param title: title of the page
    :param summary: how many findings there are, and of what states
    :param findings: ``said``, ``name``, ``severity``, ``sure``, ``number`` (the evidence in words)
        and ``next_step`` of each finding, and the figure of its evidence
    :param looks: name of each check, what it looked at, and its figure
    :param skipped: why a check was left out, by its name
    :param date: date of the diagnosis, as it is shown
    :param provenance: plain data for the last section
    :return: path of the file
    """
    page = render_page(
        "diagnosis.html.j2",
        siblings=list_siblings(path),
        title=title,
        date=date,
        summary=summary,
        findings=[
            {**one, "figure": None if drawn is None else encode_figure(drawn)}
            for one, drawn in findings
        ],
        looks=[
            {"name": name, "said": said, "figure": None if drawn is None else encode_figure(drawn)}
            for name, said, drawn in looks
        ],
        skipped=dict(skipped),
        provenance=provenance or {},
    )
    write_text(path, page)
    return path
