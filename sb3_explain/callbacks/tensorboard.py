"""Pictures and short videos as TensorBoard keeps them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch.utils.tensorboard import SummaryWriter

from sb3_explain.report.video import frames_of

#: width in pixels, and pictures a second, of a video in TensorBoard
WIDTH, FPS = 480, 10


def decoded(png: bytes) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 of a PNG."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def write_gif(writer: SummaryWriter, name: str, video: Path, step: int) -> None:
    """A video as TensorBoard shows videos: an animated GIF among the images.

    ``SummaryWriter.add_video`` does the same, but needs moviepy.
    """
    frames = [Image.fromarray(frame) for frame in frames_of(video)]
    height = round(frames[0].height * WIDTH / frames[0].width)
    small = [f.resize((WIDTH, height), Image.Resampling.BOX) for f in frames]
    # one palette for all frames, that colours do not flicker
    palette = small[len(small) // 2].quantize(128)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    data = io.BytesIO()
    indexed[0].save(
        data, "GIF", save_all=True, append_images=indexed[1:], duration=1000 // FPS, loop=0
    )
    image: Any = Summary.Image(
        height=height, width=WIDTH, colorspace=3, encoded_image_string=data.getvalue()
    )
    files = writer._get_file_writer()  # type: ignore[no-untyped-call]
    files.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)
