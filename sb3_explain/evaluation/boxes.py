"""Bounding boxes of a game's objects, as pixels of what an agent observes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import (
    NAME,
    Kind,
    array,
    number,
    optional,
    read_document,
    record,
    row,
    text,
    whole,
)
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import are_images
from sb3_explain.states.dataset import StateDataset

#: (top, left, height, width) of an object, in pixels of the rendered frame
Box = tuple[float, float, float, float]
Mask = NDArray[np.bool_]

#: size limit of a file of boxes, in bytes
MAX_BYTES = 2**26
#: what a file of boxes needs, for the error message
NEEDED = (
    'it holds no boxes, but needs {"size": [height, width], "objects": [[{"category": ..., "xywh": '
    "[x, y, width, height]}, ...], ...]}"
)
_side, _edge = whole(1, 2**16), number(-1e6, 1e6)
_XYWH = {"xywh": row(_edge, _edge, _edge, _edge)}


def _file(observed: Kind) -> Kind:
    """The form of a file of boxes, each of this form."""
    objects = array(array(observed), longest=10**7)
    return record({"size": row(_side, _side), "objects": objects}, {"states": optional(text(100))})


def rasterize_boxes(
    boxes: Iterable[Box], frame_size: tuple[int, int], size: tuple[int, int]
) -> Mask:
    """Mark the pixels of an observation that at least one box touches.

    The observation is the whole rendered frame at another size. A pixel counts as soon as a part of
    it lies in a box, since its value depends on the object then.

    >>> from sb3_explain import rasterize_boxes
    >>> rasterize_boxes([(0, 0, 4, 2)], frame_size=(8, 8), size=(4, 4)).sum(axis=1).tolist()
    [1, 1, 0, 0]

    >>> from sb3_explain import rasterize_boxes
    >>> rasterize_boxes([(0, 0, 4, 2)], frame_size=(8, 8), size=(4, 4)).astype(int)[:, :2].tolist()
    [[1, 0], [1, 0], [0, 0], [0, 0]]

    :param boxes: boxes of one state's objects; what leaves the frame is cut off
    :param frame_size: (height, width) of the rendered frame, in pixels
    :param size: (H, W) of the observation, in pixels
    :return: (H, W), true where a pixel lies in a box
    """
    inside = np.zeros(size, dtype=bool)
    scale = np.array(size) / frame_size
    for top, left, height, width in boxes:
        # to ten digits: 35 * (84 / 210) is a little more than 14
        start = (np.array([top, left]) * scale).round(10)
        stop = (np.array([top + height, left + width]) * scale).round(10)
        y, x = np.floor(start).clip(0).astype(int)
        bottom, right = np.ceil(stop).clip(0).astype(int)
        inside[y:bottom, x:right] = True
    return inside


@check_arguments
def read_boxes(
    path: str | Path,
    states: StateDataset,
    categories: Collection[str] | None = None,
    agent: Agent | None = None,
) -> Mask:
    """Read the boxes that an object detector wrote to a file, for ``evaluate(..., boxes=)``.

    The file is JSON: ``{"size": [height, width], "objects": [[{"category": "Ball", "xywh": [x, y,
    width, height]}, ...], ...]}``, with a list for each state in order, in pixels of the rendered
    frame. ``"states"``, the fingerprint of the states, is checked where the file has it. The
    documentation of the metric ``relevance_mass`` has a script that writes such a file by OCAtari.

    >>> import json
    >>> from sb3_explain import read_boxes
    >>> dot = {"category": "Dot", "xywh": [0, 0, 4, 2]}
    >>> file = {"size": [48, 48], "objects": [[dot] for _ in range(len(image_states))]}
    >>> _ = (folder / "boxes.json").write_text(json.dumps(file))
    >>> boxes = read_boxes(folder / "boxes.json", image_states, categories=["Dot"])
    >>> boxes.shape, int(boxes[0].sum())
    ((60, 24, 24), 2)

    :param path: path of the JSON file
    :param states: the states that the detector saw, in its order
    :param categories: names of the objects that count; all objects count when not given
    :param agent: the agent, whose pictures may have other axes than (C, H, W); not needed where
        they have not
    :return: (n, H, W), true where a pixel of a state's newest frame lies in a box
    :raises ExplainError: if the file is not of this form, or describes other states
    """
    named = {} if categories is None else {"category": text(NAME)}
    read = _read_file(path, states, record({**_XYWH, **named}))
    height, width = read["size"]
    boxes = [[_box(observed) for observed in state if _counts(observed, categories)]
             for state in read["objects"]]  # fmt: skip
    frames = states.frames_by_key([0])
    by_key = frames if agent is None else agent.layout.arrange(frames)
    images = [observed for observed in by_key.values() if are_images(observed)]
    if not images:
        raise ExplainError("boxes need images, and these states have none")
    rows, columns = images[0].shape[2:]
    return np.stack([rasterize_boxes(b, (height, width), (rows, columns)) for b in boxes])


@check_arguments
def read_object_features(
    path: str | Path, states: StateDataset, categories: Collection[str] | None = None
) -> tuple[NDArray[np.float64], list[str]]:
    """Read where a game's objects are, from a file of boxes, as features for ``distill``.

    Each category has as many places as any state has objects of it, from left to right; the center
    of each is two features, in pixels of the rendered frame. A place without an object is at -1.

    >>> import json
    >>> from sb3_explain import read_object_features
    >>> dot = {"category": "Dot", "xywh": [4, 0, 4, 2]}
    >>> file = {"size": [48, 48], "objects": [[dot] for _ in range(len(image_states))]}
    >>> _ = (folder / "boxes.json").write_text(json.dumps(file))
    >>> values, names = read_object_features(folder / "boxes.json", image_states)
    >>> names, values[0].tolist()
    (['Dot x', 'Dot y'], [6.0, 1.0])

    :param path: path of the JSON file, as :func:`read_boxes` takes it
    :param states: the states that the detector saw, in its order
    :param categories: names of the objects that count; all objects count when not given
    :return: (n, M) features, and their M names
    :raises ExplainError: if the file is not of this form, describes other states, or has no objects
    """
    read = _read_file(path, states, record({**_XYWH, "category": text(NAME)}))
    centers: list[dict[str, list[tuple[float, float]]]] = []
    for state in read["objects"]:
        found: dict[str, list[tuple[float, float]]] = {}
        for observed in state:
            if _counts(observed, categories):
                top, left, height, width = _box(observed)
                center = (left + width / 2, top + height / 2)
                found.setdefault(observed["category"], []).append(center)
        centers.append(found)
    known = sorted({name for found in centers for name in found})
    if not known:
        raise ExplainError(f"{path} has no objects of these categories")
    columns, names = [], []
    for name in known:
        most = max(len(found.get(name, ())) for found in centers)
        places = np.full((len(centers), most, 2), -1.0)
        for position, found in enumerate(centers):
            held = sorted(found.get(name, ()))
            places[position, : len(held)] = np.reshape(held, (-1, 2))
        columns.append(places.reshape(len(centers), -1))
        numbers = [""] if most == 1 else [f" {i + 1}" for i in range(most)]
        names += [f"{name}{place} {axis}" for place in numbers for axis in "xy"]
    return np.concatenate(columns, axis=1), names


def _read_file(path: str | Path, states: StateDataset, observed: Kind) -> Any:
    """Read a file of boxes, each of this form, of these states."""
    read = read_document(path, _file(observed), NEEDED, limit=MAX_BYTES)
    n, fingerprint = len(read["objects"]), read.get("states")
    if n != len(states) or fingerprint not in (None, states.fingerprint()):
        raise ExplainError(
            f"{path} holds boxes of {n} other states, not of these {len(states)}: detect the "
            "objects of their rendered frames"
        )
    return read


def _counts(observed: Any, categories: Collection[str] | None) -> bool:
    return categories is None or observed["category"] in categories


def _box(observed: Any) -> Box:
    x, y, width, height = (float(number) for number in observed["xywh"])
    return y, x, height, width
