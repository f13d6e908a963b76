"""Overlays of saliency maps on the rendered picture of the same state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from sb3_explain.common.attributions import resize
from sb3_explain.common.errors import ExplainError

Frame = NDArray[np.uint8]
Attribution = NDArray[Any]
#: top, left, height and width of a part of the rendered frame, in pixels
Playfield = tuple[int, int, int, int]

# Where the map is low the frame is gray and dark, but not black: a dark game would vanish.
CONTEXT = (14 + 0.5 * np.arange(256)).round().astype(np.uint8)
# Brightness of the color on a black object, and the white that is added on a white one, so that the
# game shows through.
_ON_BLACK, _SHINE = 0.55, 110.0
# The color fades in between these magnitudes.
_LOW, _HIGH = 0.05, 0.75


def _sample_colormap(name: str, start: float, stop: float) -> NDArray[np.float32]:
    """Sample 256 colors (256, 3) in 0..255 from a part of one of matplotlib's color maps."""
    colors = colormaps[name](np.linspace(start, stop, 256))[:, :3] * 255
    return colors.astype(np.float32)


# The ends of inferno are left out: black would darken what matters, pale yellow hides pale objects.
POSITIVE = _sample_colormap("inferno", 0.42, 0.84)
NEGATIVE = _sample_colormap("cool", 0.3, 0.0)


def lay_over(
    frame: Frame,
    attribution: Attribution | None,
    *,
    signed: bool = False,
    playfield: Playfield | None = None,
) -> Frame:
    """Lay a map over a frame, which is gray where the map is low and glows where it is high.

    The map is stretched bilinearly over the frame, since the observation of an image agent is the
    whole rendered frame at another size. Neither argument is changed.

    :param frame: (h, w, 3) uint8, as rendered
    :param attribution: (H, W), in [0, 1], or in [-1, 1] if ``signed``; ``None`` for a plain copy of
        the frame
    :param signed: whether the map may be negative, which is shown in blue
    :param playfield: part of the frame that the observation shows; all of it by default
    :return: (h, w, 3) uint8
    :raises ExplainError: if the map is not (H, W), not finite or out of its range
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ExplainError(
            f"a frame must be (height, width, 3) of uint8, not {frame.shape} of {frame.dtype}"
        )
    if attribution is None:
        return frame.copy()
    values = stretch(attribution, frame.shape[:2], signed=signed, playfield=playfield)
    gray = np.asarray(Image.fromarray(frame).convert("L"))
    shown = np.repeat(CONTEXT[gray][..., None], 3, axis=2)

    # Most pixels of a mask are zero, and done already.
    lit = np.abs(values) > _LOW
    values, brightness = values[lit], gray[lit][:, None] / np.float32(255)
    magnitude = np.abs(values)
    # smoothstep: faint pixels stay gray, and the border of a soft mask remains visible
    weight = np.clip((magnitude - _LOW) / (_HIGH - _LOW), 0, 1)
    weight = (weight * weight * (3 - 2 * weight))[:, None]

    index = (magnitude * 255).astype(np.uint8)
    tint = np.where(values[:, None] < 0, NEGATIVE[index], POSITIVE[index])
    # Only the brightness of the game: its colors would change those of the map.
    glow = tint * (_ON_BLACK + (1 - _ON_BLACK) * brightness) + _SHINE * brightness**2
    context = shown[lit].astype(np.float32)
    shown[lit] = (context + weight * (glow - context)).clip(0, 255).round()
    return shown


def stretch(
    attribution: Attribution,
    size: tuple[int, ...],
    *,
    signed: bool = False,
    playfield: Playfield | None = None,
) -> NDArray[np.float32]:
    """Stretch a map bilinearly over a frame.

    :param attribution: (H, W), in [0, 1], or in [-1, 1] if ``signed``
    :param size: height and width of the frame
    :param signed: whether the map may be negative
    :param playfield: part of the frame that the observation shows; all of it by default
    :return: (h, w) float32, 0 outside the playfield
    :raises ExplainError: if the map is not (H, W), not finite or out of its range
    """
    return _place(_check_attribution(attribution, signed), size, playfield)


def enlarge(frame: Frame, factor: float) -> Frame:
    """Resize a frame: by repeating pixels, or smoothly where the factor is not an integer.

    :param frame: (h, w, 3) uint8
    :param factor: scale factor of both sides
    """
    if factor == int(factor):
        return frame.repeat(int(factor), axis=0).repeat(int(factor), axis=1)
    size = (max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor)))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def scale_playfield(playfield: Playfield | None, factor: float) -> Playfield | None:
    """Scale the playfield of a frame that was resized by ``factor``."""
    if playfield is None:
        return None
    top, left, height, width = (round(edge * factor) for edge in playfield)
    return top, left, height, width


def draw_color_key(signed: bool, ground: tuple[int, int, int] = (60, 60, 60)) -> Frame:
    """Draw the color scale of a map from its lowest value to its highest.

    :param signed: whether the map has a sign
    :param ground: color that stands for zero
    :return: (1, n, 3) uint8
    """
    up = np.concatenate([np.linspace(ground, POSITIVE[0], 32), POSITIVE])
    if not signed:
        return up[None].astype(np.uint8)
    down = np.concatenate([np.linspace(ground, NEGATIVE[0], 32), NEGATIVE])[::-1]
    return np.concatenate([down, up])[None].astype(np.uint8)


def _check_attribution(attribution: Attribution, signed: bool) -> NDArray[np.float32]:
    """Return the map as (H, W) float32, with rounding errors beyond its range clipped."""
    values = np.asarray(attribution, dtype=np.float32)
    low = -1.0 if signed else 0.0
    if values.ndim != 2:
        raise ExplainError(
            f"a map must be (height, width), not {values.shape}: merge the stacked frames first"
        )
    if not np.isfinite(values).all():
        raise ExplainError("a map holds NaN or infinity: nothing can be drawn from it")
    if values.min() < low - 1e-4 or values.max() > 1 + 1e-4:
        raise ExplainError(
            f"a map must lie in [{low:g}, 1], not [{values.min():g}, {values.max():g}]: "
            "normalize it first" + ("" if signed else ", or draw it as signed")
        )
    return np.clip(values, low, 1)


def _place(
    values: NDArray[np.float32], size: tuple[int, ...], playfield: Playfield | None
) -> NDArray[np.float32]:
    """Stretch the map over the playfield of the frame, (h, w), with zeros outside."""
    top, left, height, width = playfield or (0, 0, *size)
    if min(top, left) < 0 or min(height, width) < 1:
        raise ExplainError(f"a playfield is (top, left, height, width), not {playfield}")
    if top + height > size[0] or left + width > size[1]:
        raise ExplainError(f"the playfield {playfield} leaves the frame of {size[0]}x{size[1]}")
    stretched = resize(torch.from_numpy(values)[None, None], (height, width))[0, 0].numpy()
    placed = np.zeros(size, dtype=np.float32)
    placed[top : top + height, left : left + width] = stretched
    return placed


def to_rgb(frames: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Convert frames to RGB: three channels are colors, others are shown by their mean in gray.

    :param frames: (B, C, h, w) of any range
    :param low: value that becomes black
    :param high: value that becomes white
    :return: (B, h, w, 3) uint8
    """
    levels = ((frames - low) / max(high - low, 1e-9) * 255).clip(0, 255)
    if levels.shape[1] != 3:
        levels = np.repeat(levels.mean(axis=1, keepdims=True), 3, axis=1)
    return np.ascontiguousarray(levels.round().astype(np.uint8).transpose(0, 2, 3, 1))
