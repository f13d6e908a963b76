"""Links between the pages of an output folder, as far as they are there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from urllib.parse import quote

#: pages, pictures and tables that workflows leave in an output folder, in the order of their links
NAMES = {
    "report.html": "Report",
    "diagnosis.html": "Diagnosis",
    "tree.html": "Decision tree",
    "behavior.html": "Behavior map",
    "probes.html": "States of interest",
    "highlights.mp4": "Highlights, a video",
    "highlights.png": "Highlights, a picture",
    "inside/layers.png": "Inside: dead units by layer",
    "inside/linear_probes.png": "Inside: what layers know",
    "benchmark.md": "Table of the grid",
    "bars.png": "Bars of the grid",
}
#: folder of the pictures of single states, and how many of them have a link
WHY, LINKED = "why", 8


@dataclasses.dataclass(frozen=True)
class Sibling:
    """A file that a page links to.

    :param address: relative address; empty for the page itself
    :param label: text of the link
    """

    address: str
    label: str


def list_siblings(page: Path) -> list[Sibling]:
    """List what lies beside a page in its folder; nothing if it is alone.

    :param page: path of the page, which may still have to be written
    """
    folder = page.parent
    listed = [
        Sibling("" if name == page.name else name, label)
        for name, label in NAMES.items()
        if name == page.name or (folder / name).is_file()
    ]
    for path in sorted((folder / WHY).glob("*.png"))[:LINKED]:
        said = path.stem.replace("_", " ")
        listed.append(Sibling(f"{WHY}/{quote(path.name)}", f"Why: {said}"))
    return listed if any(one.address for one in listed) else []
