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
    lay_over,
    stretch,
)

OverlayStyle = Literal["heat", "contour", "spotlight"]
#: magnitudes at which contours are drawn, as shares of the strongest color
LEVELS = (0.25, 0.5, 0.75)
#: brightness of what a spotlight does not reach
DIM = 0.2


def draw_overlay(
    frame: Frame, attribution: Attribution, *, signed: bool = False, style: OverlayStyle = "heat"
) -> Frame:
    """Draw a map on a frame.

    :param frame: (h, w, 3) uint8
    :param attribution: (H, W), in [0, 1], or in [-1, 1] if ``signed``
    :param signed: whether the map may be negative
    :param style: ``"heat"``, a gray frame that glows where the map is high; ``"contour"``, the
        frame in its colors with lines at 25, 50 and 75 %; ``"spotlight"``, the frame in its colors
        where the magnitude of the map is high, and dark elsewhere
    :return: (h, w, 3) uint8
    :raises ExplainError: for an unknown style, or a map that does not fit
    """
    if style not in OVERLAY_STYLES:
        raise unknown_name("style", style, OVERLAY_STYLES)
    return OVERLAY_STYLES[style](frame, attribution, signed)


def _draw_heat(frame: Frame, attribution: Attribution, signed: bool) -> Frame:
    return lay_over(frame, attribution, signed=signed)


def _draw_contours(frame: Frame, attribution: Attribution, signed: bool) -> Frame:
    values = stretch(attribution, frame.shape[:2], signed=signed)
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


def _draw_spotlight(frame: Frame, attribution: Attribution, signed: bool) -> Frame:
    light = np.abs(stretch(attribution, frame.shape[:2], signed=signed))[..., None]
    shown: NDArray[Any] = frame * (DIM + (1 - DIM) * light)
    return shown.round().astype(np.uint8)


OVERLAY_STYLES: Mapping[str, Callable[[Frame, Attribution, bool], Frame]] = {
    "heat": _draw_heat,
    "contour": _draw_contours,
    "spotlight": _draw_spotlight,
}
