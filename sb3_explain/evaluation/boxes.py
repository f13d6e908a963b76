"""Boxes of the objects in a game, from any source, as cells of what an agent observes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import read_json
from sb3_explain.envs.spaces import are_images
from sb3_explain.states.dataset import StateDataset

#: top, left, height and width, in pixels of the rendered frame
Box = tuple[float, float, float, float]
Mask = NDArray[np.bool_]


def cells_in_boxes(boxes: Iterable[Box], size: tuple[int, int], cells: tuple[int, int]) -> Mask:
    """(H, W) which cells of an observation some box touches.

    The observation is the whole rendered frame at another size. A cell counts as soon as a part of
    it lies in a box: its value depends on the object.

    :param boxes: of one state's objects; what leaves the frame is cut off
    :param size: (height, width) of the rendered frame
    :param cells: (H, W) of the observation
    """
    inside = np.zeros(cells, dtype=bool)
    scale = np.array(cells) / size
    for top, left, height, width in boxes:
        # to ten digits: 35 * (84 / 210) is a little more than 14
        start = (np.array([top, left]) * scale).round(10)
        stop = (np.array([top + height, left + width]) * scale).round(10)
        y, x = np.floor(start).clip(0).astype(int)
        bottom, right = np.ceil(stop).clip(0).astype(int)
        inside[y:bottom, x:right] = True
    return inside


def read_boxes(
    path: str | Path,
    states: StateDataset,
    categories: Collection[str] | None = None,
) -> Mask:
    """Boxes that an object detector wrote down, for ``evaluate(..., boxes=)``.

    The file is JSON: ``{"size": [height, width], "objects": [[{"category": "Ball", "xywh": [x, y,
    width, height]}, ...], ...]}``, a list for each state in order, in pixels of the rendered frame;
    and ``"states"``, the fingerprint of the states, where the writer knows it. The documentation of
    the metric ``relevance_mass`` has a script that writes one by OCAtari.

    :param path: of the file
    :param states: the states that the detector saw, in its order
    :param categories: only these objects count; all when not given
    :return: (n, H, W) which cells of each state's newest frame lie in a box
    :raises ExplainError: if the file is none of these, or is of other states
    """
    found = read_json(Path(path))
    try:
        height, width = (int(side) for side in found["size"])
        boxes = [[_box(observed) for observed in state if _counts(observed, categories)]
                 for state in found["objects"]]  # fmt: skip
        fingerprint = found.get("states")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExplainError(
            f'{path} holds no boxes: it needs {{"size": [height, width], "objects": [[{{"category":'
            ' ..., "xywh": [x, y, width, height]}, ...], ...]}'
        ) from error
    if len(boxes) != len(states) or fingerprint not in (None, states.fingerprint()):
        raise ExplainError(
            f"{path} holds boxes of {len(boxes)} other states, not of these {len(states)}: detect "
            "the objects of their rendered frames"
        )
    images = [observed for observed in states.frames_by_key([0]).values() if are_images(observed)]
    if not images:
        raise ExplainError("boxes need images, and these states have none")
    rows, columns = images[0].shape[2:]
    return np.stack([cells_in_boxes(b, (height, width), (rows, columns)) for b in boxes])


def _counts(observed: Any, categories: Collection[str] | None) -> bool:
    return categories is None or observed["category"] in categories


def _box(observed: Any) -> Box:
    x, y, width, height = (float(number) for number in observed["xywh"])
    return y, x, height, width
