"""What other commands have left in a page's folder: highlights, outcomes and probes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import array, number, read_document, record, text, whole
from sb3_explain.common.untrusted import max_bytes, read_bounded
from sb3_explain.report.page import Picture
from sb3_explain.report.viewer.playback import Bookmark
from sb3_explain.states.dataset import StateDataset

#: the most contact sheets of a page, and bytes of one
SHEETS, SHEET_BYTES = 24, 2**23

_HIGHLIGHTS = array(
    record({"episode": whole(), "step": whole(), "importance": number(finite=False)}), 0, 1000
)
_OUTCOMES = record({"episode": whole(), "step": whole(), "seed": whole()})
_SHEET = record({"file": text(300), "caption": text(2000), "alt": text(2000)})
_PROBES = record({}, {"sheets": array(_SHEET, 0, 1000)})


def read_highlights(folder: Path, states: StateDataset) -> list[Bookmark]:
    """Read where the highlights of a folder are among states of whole episodes.

    :param folder: output folder; nothing if it has no ``highlights.json``
    :param states: states of the episodes from which they were chosen, or of others: what is not
        among them is left out
    :raises ExplainError: if the file is damaged
    """
    path = folder / "highlights.json"
    if not path.exists():
        return []
    found = read_document(path, _HIGHLIGHTS, "run `sb3-explain highlights` again")
    marks = []
    for rank, one in enumerate(found, start=1):
        label = f"highlight {rank}: importance {one['importance']:.3g}"
        marks += mark_step(states, one["episode"], one["step"], label)
    return marks


def mark_outcomes(folder: Path, states: StateDataset) -> list[Bookmark]:
    """Mark the step from which ``outcomes`` has played on, if it is among some states.

    :param folder: output folder; nothing if it has no ``outcomes/outcomes.json``
    :param states: states of whole episodes; those of another seed are other episodes
    :raises ExplainError: if the file is damaged
    """
    path = folder / "outcomes" / "outcomes.json"
    if not path.exists():
        return []
    found = read_document(path, _OUTCOMES, "run `sb3-explain outcomes` again")
    if found["seed"] != states.provenance.get("seed"):
        return []
    return mark_step(states, found["episode"], found["step"], "what if it had acted otherwise")


def mark_step(states: StateDataset, episode: int, step: int, label: str) -> list[Bookmark]:
    """Mark a step of an episode, in a list; an empty one if it is not among the states."""
    here = np.flatnonzero((states.episode == episode) & (states.steps == step))
    return [Bookmark(int(position), label) for position in here[:1]]


def read_gallery(folder: Path) -> list[Picture]:
    """Read the contact sheets of the states that were searched for.

    :param folder: output folder; nothing if it has no ``probes.json``
    :raises ExplainError: if a file is damaged
    """
    path, remedy = folder / "probes.json", "run `sb3-explain probe` again"
    if not path.exists():
        return []
    sheets = read_document(path, _PROBES, remedy).get("sheets", [])
    pictures = []
    for sheet in sheets[:SHEETS]:
        if not re.fullmatch(r"[A-Za-z0-9_-]+\.png", sheet["file"]):
            raise ExplainError(f"{path} names no picture of probes/ ({remedy})")
        drawn = folder / "probes" / sheet["file"]
        if not drawn.exists():  # somebody has taken it away
            continue
        content = read_picture(drawn, remedy)
        pictures.append(Picture(content, sheet["caption"], sheet["alt"]))
    return pictures


def read_picture(path: Path, remedy: str) -> bytes:
    """Read a PNG.

    :param path: path of the file
    :param remedy: what the user can do about a damaged one
    :raises ExplainError: if it is damaged or too large
    """
    content = read_bounded(path, min(SHEET_BYTES, max_bytes()))
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            opened.verify()
    except Exception as error:  # Pillow raises many kinds
        raise ExplainError(f"{path} is damaged ({remedy})") from error
    return content
