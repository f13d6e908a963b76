"""probes.html: the states of interest of one agent, in a single file that opens offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.common.files import atomic_path
from sb3_explain.report.page import Picture, encode_data_uri, load_template


@dataclasses.dataclass(frozen=True)
class Probed:
    """What was found for one target.

    :param name: of the target
    :param finds: what it looks for, a sentence
    :param figures: column -> text, one row of the table
    :param sheet: the contact sheet
    :param remark: what is to be said of it in the summary
    """

    name: str
    finds: str
    figures: Mapping[str, str]
    sheet: Picture
    remark: str = ""


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
    """Write the page; the file appears only when it is whole.

    :param path: of the file
    :param title: algorithm and environment
    :param sentences: what there is to know, the most important first
    :param probed: a section each, and a row of the table
    :param quality: figures of how good the generator is
    :param date: as it should be read
    :param provenance: plain data for the last section
    :return: the path
    """
    columns = list(dict.fromkeys(column for row in probed for column in row.figures))
    page = load_template("probes.html.j2").render(
        title=title,
        date=date,
        sentences=sentences,
        probed=[{**vars(row), "sheet": _encode_figure(row.sheet)} for row in probed],
        columns=columns,
        quality=[_encode_figure(picture) for picture in quality],
        provenance=provenance or {},
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _encode_figure(picture: Picture) -> dict[str, str]:
    source = encode_data_uri(picture.png, "image/png")
    return {"source": source, "caption": picture.caption, "alt": picture.alt or picture.caption}
