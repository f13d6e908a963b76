"""Writing encoded pictures and short videos to TensorBoard, which stores both as images."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch.utils.tensorboard import SummaryWriter

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
