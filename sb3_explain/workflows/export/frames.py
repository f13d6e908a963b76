"""A folder of pictures, maps and numbers of steps, for a paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_folder, write_json
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.provenance import describe_machine
from sb3_explain.report.overlay import Frame, enlarge
from sb3_explain.report.overlay_styles import OverlayStyle, draw_overlay
from sb3_explain.report.video import choose_factor
from sb3_explain.workflows.export.explained_steps import ExplainedSteps
from sb3_explain.workflows.pictures import name_asked
from sb3_explain.workflows.saliency_video import make_bars

#: names of the numbers of all steps, and of what was exported
TABLE, DESCRIPTION = "steps.csv", "export.json"
#: files that an export writes
WRITTEN = re.compile(r"step_\d+(_map|_overlay)?\.png|step_\d+\.npz|steps\.csv|export\.json")


def require_own(folder: Path) -> None:
    """Check that a folder may be replaced: it is missing, empty, or an earlier export.

    :raises ExplainError: if it is a file, or holds something else
    """
    if folder.exists() and not folder.is_dir():
        raise ExplainError(f"{folder} is a file: give a folder for the frames")
    others = [each.name for each in folder.glob("*") if not WRITTEN.fullmatch(each.name)]
    if others:
        raise ExplainError(f"{folder} holds other files ({others[0]}): give a folder of its own")


def write_frames(
    folder: Path,
    explained: ExplainedSteps,
    *,
    style: OverlayStyle,
    height: int,
    progress: bool = True,
) -> None:
    """Write a folder of steps, which appears only when it is complete.

    Step 123 has ``step_000123.png`` (the game), ``step_000123_overlay.png`` (with its map, or with
    bars of the features beside it), ``step_000123_map.png`` (the map alone, in 16 bits) and
    ``step_000123.npz`` (the attributions, as :meth:`Explainer.attribute` returns them).
    ``steps.csv`` has the numbers of all steps, ``export.json`` what was exported.

    :param folder: the folder; an earlier export in it is replaced
    :param explained: the steps
    :param style: how maps are drawn
    :param height: approximate height of the game in pixels
    :param progress: show a progress bar
    """
    require_own(folder)
    steps = explained.steps
    draw = choose_overlay(explained, style, height)
    with (
        atomic_folder(folder) as temporary,
        progress_bar("frames", len(steps), "steps", progress) as bar,
    ):
        for rows in explained.chunks():
            pictures = explained.pictures(rows)
            for place, row in enumerate(rows.tolist()):
                stem = f"{temporary}/step_{steps.numbers[row]:06d}"
                write_attributions(stem, explained, row)
                if pictures is not None:
                    game = enlarge(pictures[place], choose_factor(pictures.shape[1], height))
                    Image.fromarray(game).save(f"{stem}.png")
                    Image.fromarray(draw(row, game)).save(f"{stem}_overlay.png")
                bar.update(1)
        explained.table().to_csv(temporary / TABLE, index=False)
        write_json(temporary / DESCRIPTION, describe_export(explained, style))


def choose_overlay(
    explained: ExplainedSteps, style: OverlayStyle, height: int
) -> Callable[[int, Frame], Frame]:
    """Return what draws a step's map on its frame, or bars of its features beside it."""
    scaled, signed = explained.scaled, explained.signed
    if scaled is None:
        return make_bars(
            explained.states, explained.explainer, explained.steps.positions, height,
            explained.target, explained.by_key,
        )  # fmt: skip
    return lambda row, frame: draw_overlay(frame, scaled[row], signed=signed, style=style)


def write_attributions(stem: str, explained: ExplainedSteps, row: int) -> None:
    """Write a step's attributions as ``.npz``, and its map, if there is one, as a picture.

    The array is called ``attributions``; of a Dict observation each is ``attributions/KEY``.

    :param stem: path of the files without suffix
    :param explained: the steps
    :param row: number of the step among those that are exported
    """
    arrays = {
        f"attributions/{key}" if key else "attributions": explained.agent.layout.restore_key(
            key, each[row : row + 1]
        )[0].numpy()
        for key, each in explained.by_key.items()
    }
    np.savez_compressed(f"{stem}.npz", allow_pickle=False, **arrays)
    if explained.scaled is not None:
        Image.fromarray(to_16_bits(explained.scaled[row], explained.signed)).save(f"{stem}_map.png")


def to_16_bits(map_: NDArray[np.float32], signed: bool) -> NDArray[np.uint16]:
    """Return a map in 16 bits: 65535 is 1; 0 is 0, or -1 (32768 is 0 then) if it has a sign."""
    levels = 32768 + 32767 * map_.astype(np.float64) if signed else 65535 * map_.astype(np.float64)
    return levels.round().clip(0, 65535).astype(np.uint16)


def describe_export(explained: ExplainedSteps, style: OverlayStyle) -> dict[str, Any]:
    """Describe what was exported, in plain data."""
    steps, explainer = explained.steps, explained.explainer
    return {
        "agent": explained.agent.describe(),
        "explainer": {"name": explainer.name, **explainer.list_facts()},
        "target": name_asked(explained.agent, explained.target)[0] or "the action taken",
        "episode": {
            "number": steps.episode,
            "return": steps.total,
            "length": steps.length,
            "ended": steps.ended,
        },
        "steps": [int(steps.numbers[0]), int(steps.numbers[-1])],
        "style": style,
        "map_range": [-1 if explained.signed else 0, 1],
        "made": describe_machine(),
    }
