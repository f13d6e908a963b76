"""probes.html: the states of interest of one agent, in a single file that opens offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.common.files import write_text
from sb3_explain.report.feature_table import FeatureRow
from sb3_explain.report.page import Picture, encode_figure
from sb3_explain.report.page_template import render_page
from sb3_explain.report.siblings import list_siblings


@dataclasses.dataclass(frozen=True)
class Probed:
    """The states found for one target.

    :param name: name of the target
    :param finds: a sentence that says what the target looks for
    :param figures: column -> text of this target's row of the table
    :param sheet: contact sheet of the states
    :param remark: a sentence for the summary
    :param features: features of the states, of an agent that observes no pictures
    """

    name: str
    finds: str
    figures: Mapping[str, str]
    sheet: Picture
    remark: str = ""
    features: Sequence[FeatureRow] = ()


def write_probe_page(
    path: Path,
    *,
    title: str,
    sentences: Sequence[str],
    probed: Sequence[Probed],
    quality: Sequence[Picture] = (),
    date: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page; the file appears only when it is complete.

    :param path: path of the file
    :param title: title of the page
    :param sentences: sentences of the summary, the most important first
    :param probed: results of each target, which get a section and a row of the table each
    :param quality: figures that show the quality of the generator
    :param date: date of the search, as it is shown
    :param provenance: plain data for the last section
    :return: path of the file
    """
    columns = list(dict.fromkeys(column for row in probed for column in row.figures))
    page = render_page(
        "probes.html.j2",
        siblings=list_siblings(path),
        title=title,
        date=date,
        sentences=sentences,
        probed=[{**vars(row), "sheet": encode_figure(row.sheet)} for row in probed],
        columns=columns,
        quality=[encode_figure(picture) for picture in quality],
        provenance=provenance or {},
    )
    write_text(path, page)
    return path
