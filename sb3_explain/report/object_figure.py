"""The figure of objects: their boxes over the screen, and over a map."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sb3_explain.report.captions import load_font
from sb3_explain.report.overlay import Frame, lay_over

#: name of a category, and (top, left, height, width) of one of its objects, in pixels of the screen
Box = tuple[str, tuple[int, int, int, int]]
#: bright colors of categories, in order of their names, which repeat
COLORS = ("#ffff00", "#00dcff", "#ff7800", "#ff6ec7", "#7dff5a", "#b49bff")
#: number of pixels for each of the screen's, and size of names
ENLARGED, FONT_SIZE = 3, 15


def object_figure(screen: Frame, boxes: Sequence[Box], attribution: NDArray[Any]) -> bytes:
    """Draw the boxes of objects over a screen, and over a map on this screen, side by side.

    :param screen: (h, w, 3) uint8
    :param boxes: the objects; the first of each category is named
    :param attribution: (H, W) map in [0, 1], which is stretched over the screen
    :return: PNG
    """
    names = sorted({name for name, _ in boxes})
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}
    pictures = []
    for picture in (screen, lay_over(screen, attribution)):
        height, width = (ENLARGED * length for length in screen.shape[:2])
        large = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
        draw_boxes(ImageDraw.Draw(large), boxes, colors, width)
        pictures.append(np.asarray(large))
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(pictures)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def draw_boxes(
    pen: ImageDraw.ImageDraw, boxes: Sequence[Box], colors: dict[str, str], width: int
) -> None:
    """Draw the boxes on an enlarged picture of some width, and name the first of each category."""
    font, named = load_font(FONT_SIZE), set()
    for name, (top, left, tall, wide) in boxes:
        x, y = ENLARGED * left, ENLARGED * top
        corner = (x + ENLARGED * wide + 3, y + ENLARGED * tall + 3)
        pen.rectangle((x - 4, y - 4, *corner), outline=colors[name], width=2)
        if name not in named:
            at = max(0, min(x - 4, width - int(font.getlength(name)) - 2))
            pen.text((at, max(0, y - 8 - FONT_SIZE)), name, colors[name], font=font)
            named.add(name)
