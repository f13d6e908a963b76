"""Writing encoded pictures and short videos to TensorBoard, which stores both as images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch.utils.tensorboard import SummaryWriter

from sb3_explain.report.video import read_frames

#: width in pixels and frames per second of a video in TensorBoard
WIDTH, FPS = 480, 10


def write_picture(writer: SummaryWriter, name: str, encoded: bytes, step: int) -> None:
    """Write an encoded picture, which ``SummaryWriter.add_image`` would encode again.

    :param writer: TensorBoard's writer
    :param name: name of the picture
    :param encoded: PNG, or an animated GIF, in which TensorBoard stores videos
    :param step: timestep of the picture
    """
    width, height = Image.open(io.BytesIO(encoded)).size
    image: Any = Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=encoded
    )
    files = writer._get_file_writer()  # type: ignore[no-untyped-call]
    files.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)


def encode_gif(video: Path) -> bytes:
    """Encode a video as a small animated GIF; ``SummaryWriter.add_video`` would need moviepy."""
    frames = [Image.fromarray(frame) for frame in read_frames(video)]
    height = round(frames[0].height * WIDTH / frames[0].width)
    small = [f.resize((WIDTH, height), Image.Resampling.BOX) for f in frames]
    # one palette for all frames, so that colors do not flicker
    palette = small[len(small) // 2].quantize(128)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    data = io.BytesIO()
    indexed[0].save(
        data, "GIF", save_all=True, append_images=indexed[1:], duration=1000 // FPS, loop=0
    )
    return data.getvalue()
