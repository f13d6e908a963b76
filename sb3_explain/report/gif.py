"""Videos as animated GIFs, which every page, chat and TensorBoard shows."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from sb3_explain.report.video import read_frames


def encode_gif(video: Path, fps: float, width: int | None = None) -> bytes:
    """Encode a video as an animated GIF that repeats.

    :param video: path of the video
    :param fps: frames per second
    :param width: width in pixels; that of the video when not given
    :raises ExplainError: if the file is not a video
    """
    frames = [Image.fromarray(frame) for frame in read_frames(video)]
    if width is not None:
        size = (width, round(frames[0].height * width / frames[0].width))
        frames = [frame.resize(size, Image.Resampling.BOX) for frame in frames]
    # one palette for all frames, so that colors do not flicker
    palette = frames[len(frames) // 2].quantize(128)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    data = io.BytesIO()
    indexed[0].save(
        data, "GIF", save_all=True, append_images=indexed[1:], duration=round(1000 / fps), loop=0
    )
    return data.getvalue()
