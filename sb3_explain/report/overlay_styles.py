"""The styles in which a map is drawn on a picture: heat, contour and spotlight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import unknown_name
from sb3_explain.report.overlay import (
    NEGATIVE,
    POSITIVE,
    Attribution,
    Frame,
    Playfield,
    draw_color_key,
    lay_over,
    stretch,
)

OverlayStyle = Literal["heat", "contour", "spotlight"]
#: magnitudes at which contours are drawn, as shares of the strongest color
LEVELS = (0.25, 0.5, 0.75)
#: brightness of what a spotlight does not reach
DIM = 0.2


def draw_overlay(
    frame: Frame,
    attribution: Attribution,
    *,
    signed: bool = False,
    style: OverlayStyle = "heat",
    playfield: Playfield | None = None,
) -> Frame:
    """Draw a map on a frame.

    :param frame: (h, w, 3) uint8
    :param attribution: (H, W), in [0, 1], or in [-1, 1] if ``signed``
    :param signed: whether the map may be negative
    :param style: ``"heat"``, a gray frame that glows where the map is high; ``"contour"``, the
        frame in its colors with lines at 25, 50 and 75 %; ``"spotlight"``, the frame in its colors
        where the magnitude of the map is high, and dark elsewhere
    :param playfield: part of the frame that the observation shows; all of it by default
    :return: (h, w, 3) uint8
    :raises ExplainError: for an unknown style, or a map that does not fit
    """
    require_style(style)
    return OVERLAY_STYLES[style](frame, attribution, signed, playfield)


def require_style(style: str) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` unless there is a style of this name."""
    if style not in OVERLAY_STYLES:
        raise unknown_name("style", style, OVERLAY_STYLES)


def draw_style_key(style: OverlayStyle, signed: bool, ground: tuple[int, int, int]) -> Frame:
    """Draw the scale of a map from its lowest value to its highest, as a style shows it.

    :param style: name of the style
    :param signed: whether the map has a sign
    :param ground: color that stands for zero, in a style with colors
    :return: (1, n, 3) uint8
    """
    if style != "spotlight":
        return draw_color_key(signed, ground)
    light = np.abs(np.linspace(-1 if signed else 0, 1, 256))
    shown = np.repeat(255 * (DIM + (1 - DIM) * light)[None, :, None], 3, axis=2)
    return shown.round().astype(np.uint8)


def _draw_heat(
    frame: Frame, attribution: Attribution, signed: bool, playfield: Playfield | None
) -> Frame:
    return lay_over(frame, attribution, signed=signed, playfield=playfield)


def _draw_contours(
    frame: Frame, attribution: Attribution, signed: bool, playfield: Playfield | None
) -> Frame:
    values = stretch(attribution, frame.shape[:2], signed=signed, playfield=playfield)
    shown = frame.copy()
    thickness = max(1, frame.shape[0] // 160)
    for level in LEVELS:
        for sign, colors in ((1, POSITIVE), (-1, NEGATIVE)):
            inside = sign * values >= level
            shown[inside & ~_erode(inside, thickness)] = colors[round(level * 255)].round()
    return shown


def _erode(inside: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """Leave out the pixels (H, W) at the border of a region; the picture's edge is no border."""
    for _ in range(times):
        padded = np.pad(inside, 1, mode="edge")
        inside = (
            inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        )
    return inside


def _draw_spotlight(
    frame: Frame, attribution: Attribution, signed: bool, playfield: Playfield | None
) -> Frame:
    values = stretch(attribution, frame.shape[:2], signed=signed, playfield=playfield)
    light = np.abs(values)[..., None]
    shown: NDArray[Any] = frame * (DIM + (1 - DIM) * light)
    return shown.round().astype(np.uint8)


OVERLAY_STYLES: Mapping[str, Callable[[Frame, Attribution, bool, Playfield | None], Frame]] = {
    "heat": _draw_heat,
    "contour": _draw_contours,
    "spotlight": _draw_spotlight,
}
