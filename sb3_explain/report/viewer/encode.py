"""Write a playback as a description in plain data, and the blobs that it names."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sb3_explain.common.attributions import resize
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.overlay import NEGATIVE, POSITIVE
from sb3_explain.report.viewer.playback import (
    Explained,
    Playback,
    Removal,
    StepAttributions,
    bound_regions,
)

Array = NDArray[Any]
#: keeps the content of a blob and returns its name
Keep = Callable[[bytes], str]
#: what is said of each metric, by the name of an explainer
Trust = Mapping[str, Sequence[Mapping[str, str | bool | None]]]
#: maps are stored with at most this many pixels on their longer side
MAP_SIDE = 42
#: rendered frames are stored with about this many pixels on their longer side, at most; to the bit
#: where they take so many bytes, else in so good a quality
RENDERED_SIDE, FLAT, QUALITY = 320, 6000, 80
#: number of pixels of a sheet, about: what a browser decodes in some milliseconds
SHEET = 1 << 20
#: number of pixels along a side of a WebP file, at most
WEBP_SIDE = 16_383
#: what a browser decodes quickly, and writing does not wait for
EFFORT = 2
#: byte of a map that stands for 0 and for 1
SIGNED, UNSIGNED = (127, 127), (0, 254)
#: byte of a share that stands for 1, and for one that is not a number
WHOLE, UNKNOWN = 250, 255


def describe_playback(
    playback: Playback, keep: Keep, trust: Trust = MappingProxyType({})
) -> dict[str, Any]:
    """Describe a playback in plain data; what is large is kept in blobs.

    :param playback: what is shown
    :param keep: keeps the content of a blob and returns its name
    :param trust: how far each explainer can be trusted: texts ``label``, ``value`` and ``controls``
        by its name
    :raises ExplainError: if the playback's arrays are not of the same steps
    """
    playback.require_whole()
    chosen = playback.chosen.tolist()
    features = None
    if playback.features is not None:
        values = np.asarray(playback.features, np.float32)
        features = {"names": list(playback.feature_names), "values": write_table(values, keep)}
    observed = None
    if playback.observed is not None:
        observed = {**write_sheets(playback.observed, keep), "n_stack": playback.n_stack}
    return {
        "name": playback.name,
        "n": len(playback),
        "asked": playback.asked,
        "target": playback.target,
        "value_note": playback.value_note,
        "one_scale": playback.one_scale,
        "episodes": [
            {
                "number": one.number,
                "start": one.start,
                "stop": one.stop,
                "return": one.total if math.isfinite(one.total) else None,
                "length": one.stop - one.start if one.length is None else one.length,
                "first": one.first,
                "losses": list(one.losses),
                "ended": one.ended,
                "over": one.over,
            }
            for one in playback.episodes
        ],
        "columns": {
            name: write_table(np.asarray(column, np.float32), keep)
            for name, column in playback.columns.items()
        },
        "shares": write_shares(playback.shares, keep),
        "forbidden": None if playback.forbidden is None else write_table(
            np.asarray(playback.forbidden, np.uint8), keep
        ),
        "taken": write_table(np.asarray(playback.taken, np.int16), keep),
        "drawn": playback.drawn,
        "groups": list(playback.groups) or [len(playback.target_names)],
        "targets": [
            {"name": name, "chosen": share}
            for name, share in zip(playback.target_names, chosen, strict=True)
        ],
        "rendered": None if playback.rendered is None else write_rendered(playback.rendered, keep),
        "observed": observed,
        "features": features,
        "explainers": [
            describe_explained(one, playback.removal, keep, trust) for one in playback.explained
        ],
        "removal": None if playback.removal is None else {
            "rows": playback.removal.rows,
            "columns": playback.removal.columns,
            "positions": list_positions(playback.removal.positions),
            "filled": playback.removal.filled,
            "shares": write_shares(playback.removal.shares, keep),
        },
        "bookmarks": [
            {"position": one.position, "label": one.label}
            for one in sorted(playback.bookmarks, key=lambda mark: mark.position)
        ],
    }  # fmt: skip


def describe_explained(
    explained: Explained, removal: Removal | None, keep: Keep, trust: Trust
) -> dict[str, Any]:
    """Describe what one explainer says; the brightest region of each map is found here."""
    first = explained.attributions[0].values
    return {
        "label": explained.label,
        "signed": explained.signed,
        "untrained": sorted(explained.untrained),
        "positions": list_positions(explained.positions),
        "common": explained.common,
        "metrics": [dict(metric) for metric in trust.get(explained.name, ())],
        "stack": first.shape[1] if first.ndim == 4 else 1,
        "attributions": [
            describe_attributions(one, explained.signed, removal, keep)
            for one in explained.attributions
        ],
    }


def list_positions(positions: Array | None) -> list[int] | None:
    """List positions of steps; ``None`` for all."""
    return None if positions is None else np.asarray(positions).tolist()


def describe_attributions(
    given: StepAttributions, signed: bool, removal: Removal | None, keep: Keep
) -> dict[str, Any]:
    """Describe the maps of one target."""
    zero, one = SIGNED if signed else UNSIGNED
    brightest = None
    if removal is not None:
        brightest = write_table(find_brightest(given.values, removal).astype(np.int16), keep)
    described = {"target": given.target, "brightest": brightest}
    values = given.values
    if values.ndim == 2:
        return {**described, "values": write_table(_to_bytes(values, zero, one), keep)}
    tiles = shrink(values.reshape(-1, *values.shape[-2:]))
    return {**described, "sheets": write_sheets(_to_bytes(tiles, zero, one), keep)}


def find_brightest(values: Array, removal: Removal) -> NDArray[np.int64]:
    """Find the region in which a map is largest on average.

    :param values: maps as those of :class:`StepAttributions`
    :param removal: its regions
    :return: (T,) numbers of regions; -1 for empty maps
    """
    magnitude = np.abs(np.asarray(values, np.float32))
    if magnitude.ndim == 2:
        of_region = magnitude
    else:
        if magnitude.ndim == 4:
            magnitude = magnitude.max(axis=1)
        rows = bound_regions(magnitude.shape[1], removal.rows)
        columns = bound_regions(magnitude.shape[2], removal.columns)
        summed = np.add.reduceat(np.add.reduceat(magnitude, rows[:-1], 1), columns[:-1], 2)
        n_pixels = np.outer(np.diff(rows), np.diff(columns))
        # of fewer pixels than regions, some have none
        of_region = np.where(n_pixels > 0, summed / np.maximum(n_pixels, 1), 0)
        of_region = of_region.reshape(len(magnitude), -1)
    return np.where(of_region.max(axis=1) > 0, of_region.argmax(axis=1), -1)


def shrink(attributions: Array) -> NDArray[np.float32]:
    """Shrink attributions (n, H, W) to at most :data:`MAP_SIDE` pixels a side, by means."""
    factor = math.ceil(max(attributions.shape[1:]) / MAP_SIDE)
    given = np.asarray(attributions, np.float32)
    if factor == 1:
        return given
    size = (math.ceil(attributions.shape[1] / factor), math.ceil(attributions.shape[2] / factor))
    if all(side % factor == 0 for side in attributions.shape[1:]):
        parts = given.reshape(len(given), size[0], factor, size[1], factor)
        means: NDArray[np.float32] = parts.mean(axis=(2, 4))
        return means
    return resize(torch.from_numpy(given)[:, None], size)[:, 0].numpy()


def _to_bytes(values: Array, zero: int, one: int) -> NDArray[np.uint8]:
    return (zero + np.asarray(values, np.float32) * one).round().clip(0, 254).astype(np.uint8)


def write_shares(shares: Array, keep: Keep) -> dict[str, Any]:
    """Describe shares in [0, 1], to a 250th; NaN is unknown."""
    levels = (np.asarray(shares, np.float32) * WHOLE).round().clip(0, WHOLE)
    written = np.where(np.isnan(levels), UNKNOWN, levels).astype(np.uint8)
    return {**write_table(written, keep), "scale": 1 / WHOLE, "unknown": UNKNOWN}


def write_table(numbers: Array, keep: Keep) -> dict[str, Any]:
    """Describe an array of numbers."""
    little = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    return {
        "shape": list(numbers.shape),
        "kind": str(numbers.dtype),
        "blob": keep(little.tobytes()),
    }


def write_rendered(frames: Array, keep: Keep) -> dict[str, Any]:
    """Describe frames for people to look at: large ones shrunk, and rich ones lossy.

    Flat drawings, as those of Atari games, stay as they are to the bit.

    :param frames: (n, h, w, 3) uint8
    :param keep: keeps the content of a blob and returns its name
    """
    factor = max(1, round(max(frames.shape[1:3]) / RENDERED_SIDE))
    if factor > 1:
        frames = np.stack([np.asarray(Image.fromarray(one).reduce(factor)) for one in frames])
    some = frames[:: max(1, len(frames) // 8)][:8]
    of_frame = len(encode_webp(lay_out(some, len(some)))) / len(some)
    return write_sheets(frames, keep, lossless=of_frame <= FLAT)


def write_sheets(tiles: Array, keep: Keep, *, lossless: bool = True) -> dict[str, Any]:
    """Describe pictures of one size, which lie side by side in WebP files.

    :param tiles: (n, h, w) or (n, h, w, 3) uint8
    :param keep: keeps the content of a blob and returns its name
    :param lossless: whether they stay as they are to the bit
    """
    height, width = tiles.shape[1:3]
    if max(height, width) > WEBP_SIDE:
        raise ExplainError(
            f"pictures of {height} x {width} pixels do not fit on a page: give at most "
            f"{WEBP_SIDE:,} pixels a side"
        )
    columns = max(1, min(len(tiles), math.isqrt(SHEET) // width))
    rows = max(1, SHEET // (columns * width * height))
    of_sheet = columns * rows
    return {
        "n": len(tiles),
        "height": height,
        "width": width,
        "columns": columns,
        "tiles": of_sheet,
        "blobs": [
            keep(encode_webp(lay_out(tiles[start : start + of_sheet], columns), lossless=lossless))
            for start in range(0, len(tiles), of_sheet)
        ],
    }


def lay_out(tiles: Array, columns: int) -> NDArray[np.uint8]:
    """Lay tiles (n, h, w, ...) side by side, ``columns`` in a row; what is left over is black."""
    n, height, width, *channels = tiles.shape
    rows = math.ceil(n / columns)
    sheet = np.zeros((rows * columns, height, width, *channels), np.uint8)
    sheet[:n] = tiles
    sheet = sheet.reshape(rows, columns, height, width, *channels).swapaxes(1, 2)
    return sheet.reshape(rows * height, columns * width, *channels)


def encode_webp(picture: NDArray[np.uint8], *, lossless: bool = True) -> bytes:
    """Return a picture (h, w) or (h, w, 3) as a WebP file."""
    buffer = io.BytesIO()
    quality = 50 if lossless else QUALITY  # of a lossless file it is the effort to make it small
    Image.fromarray(picture).save(
        buffer, format="WEBP", lossless=lossless, method=EFFORT, quality=quality, exact=True
    )
    return buffer.getvalue()


def describe_palette() -> dict[str, Sequence[int]]:
    """Return the colors of maps, three numbers a color."""
    return {
        name: colors.round().astype(int).reshape(-1).tolist()
        for name, colors in (("positive", POSITIVE), ("negative", NEGATIVE))
    }
