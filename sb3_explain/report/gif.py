"""Pictures one after the other as animated GIFs, which every page, chat and TensorBoard shows."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from sb3_explain.report.overlay import Frame

#: number of colors, and of the pictures, spread over all, that they are chosen from
COLORS, PALETTE_FRAMES = 128, 8


def encode_gif(frames: Iterable[Frame], fps: float, width: int | None = None) -> bytes:
    """Encode pictures as an animated GIF that repeats.

    :param frames: pictures (h, w, 3) uint8 of one size, at least one
    :param fps: frames per second
    :param width: width in pixels; that of the pictures when not given
    """
    pictures = [_reduce(Image.fromarray(frame), width) for frame in frames]
    # one palette for all frames, so that colors do not flicker
    some = [pictures[i] for i in np.linspace(0, len(pictures) - 1, PALETTE_FRAMES).astype(int)]
    palette = Image.fromarray(np.concatenate(some)).quantize(COLORS)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    data = io.BytesIO()
    indexed[0].save(
        data, "GIF", save_all=True, append_images=indexed[1:], duration=round(1000 / fps), loop=0
    )
    return data.getvalue()


def _reduce(picture: Image.Image, width: int | None) -> Image.Image:
    if width is None:
        return picture
    size = (width, round(picture.height * width / picture.width))
    return picture.resize(size, Image.Resampling.BOX)
