"""behavior.html: a behavior map with examples of each cluster, in a single file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.common.files import write_text
from sb3_explain.report.behavior_figure import DrawnBehavior, behavior_figure
from sb3_explain.report.page import Picture, encode_data_uri, encode_figure
from sb3_explain.report.page_template import render_page
from sb3_explain.report.siblings import list_siblings

#: CSS pixels of an inch
INCH = 96


@dataclasses.dataclass(frozen=True)
class ShownCluster:
    """A cluster as the page shows it.

    :param name: its letter
    :param heading: its heading
    :param said: what is said of it, in sentences
    :param row: its row of the table, without its name
    :param ways: share of each cluster that often follows, in words, by its letter
    :param examples: contact sheet of typical states
    """

    name: str
    heading: str
    said: Sequence[str]
    row: Sequence[str]
    ways: Mapping[str, str]
    examples: bytes


def make_anchor(name: str) -> str:
    """Name the section of a cluster in addresses."""
    return f"cluster-{name.lower()}"


def write_behavior_page(
    path: Path,
    *,
    title: str,
    results: Sequence[str],
    drawn: DrawnBehavior,
    caption: str,
    heads: Sequence[str],
    clusters: Sequence[ShownCluster],
    date: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page; the file appears only when it is complete.

    :param path: path of the file
    :param title: title of the page
    :param results: what was found, in sentences
    :param drawn: the map
    :param caption: what the picture shows
    :param heads: heads of the table's columns, without the first
    :param clusters: the clusters
    :param date: date of the map, as it is shown
    :param provenance: plain data for the last section
    :return: path of the file
    """
    width, height = (round(side * INCH) for side in drawn.size)
    shown = [
        {
            "name": one.name, "anchor": make_anchor(one.name), "heading": one.heading,
            "said": one.said, "row": one.row, "x": round(x * width), "y": round(y * height),
            "ways": [
                {"name": name, "anchor": make_anchor(name), "share": share}
                for name, share in one.ways.items()
            ],
            "figure": encode_figure(
                Picture(one.examples, "Typical states.", "; ".join(one.said))
            ),
        }
        for one, (x, y) in zip(clusters, drawn.place_letters(), strict=True)
    ]  # fmt: skip
    page = render_page(
        "behavior.html.j2",
        siblings=list_siblings(path),
        title=title,
        date=date,
        results=results,
        picture=encode_data_uri(behavior_figure(drawn), "image/png"),
        width=width,
        height=height,
        caption=caption,
        heads=heads,
        clusters=shown,
        provenance=provenance or {},
    )
    write_text(path, page)
    return path
