"""Pictures to overlay states with: those of a folder, or procedural textures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sb3_explain.common.errors import ExplainError

logger = logging.getLogger(__name__)

#: number of textures where no folder of pictures is given
N_TEXTURES = 512
#: suffixes of the files that are read
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def load_overlays(
    folder: str | Path | None, size: tuple[int, int], *, seed: int = 0, gray: bool = False
) -> Tensor:
    """Load the pictures of a folder, or draw textures, with a warning, where none is given.

    :param folder: folder of pictures, or ``None`` for textures
    :param size: size (H, W) of the pictures, in pixels
    :param seed: random seed of the textures, or of the choice among too many pictures
    :param gray: whether the pictures have one channel, the mean of red, green and blue
    :return: (P, 3, H, W) uint8, or (P, 1, H, W)
    :raises ExplainError: if the folder is missing or holds no pictures
    """
    if folder is not None:
        pictures = read_pictures(folder, size, seed=seed)
    else:
        logger.warning(
            "no folder of overlays is given: procedural textures are used, with which results are "
            "not those of the benchmark's protocol"
        )
        pictures = draw_textures(N_TEXTURES, size, seed=seed)
    return pictures.float().mean(1, keepdim=True).round().to(torch.uint8) if gray else pictures


def read_pictures(
    folder: str | Path, size: tuple[int, int], *, limit: int = 10_000, seed: int = 0
) -> Tensor:
    """Read the pictures below a folder, e.g. of Places365, which the published results used.

    Each is scaled until it covers the size, and cropped about its center.

    :param folder: folder that is searched with all its subfolders
    :param size: size (H, W) of the pictures, in pixels
    :param limit: largest number of pictures to load; if there are more, a random subset is taken
    :param seed: random seed of the subset
    :return: (P, 3, H, W) uint8
    :raises ExplainError: if the folder is missing, has no pictures, or one cannot be read
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ExplainError(f"the folder of overlay pictures is missing: {folder}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ExplainError(
            f"{folder} has no pictures ({', '.join(SUFFIXES)}), nor have its subfolders"
        )
    if len(paths) > limit:
        chosen = np.random.default_rng(seed).choice(len(paths), limit, replace=False)
        paths = [paths[i] for i in sorted(chosen)]
    return torch.from_numpy(np.stack([_read(path, size) for path in paths]))


def _read(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read one picture as (3, H, W)."""
    import imageio.v3 as imageio

    try:
        picture = Image.fromarray(imageio.imread(path, mode="RGB", index=0))
    except (OSError, ValueError, SyntaxError) as error:
        raise ExplainError(f"{path} cannot be read as a picture: remove it") from error
    height, width = size
    scale = max(height / picture.height, width / picture.width)
    scaled = picture.resize(
        (max(round(picture.width * scale), width), max(round(picture.height * scale), height)),
        Image.Resampling.BILINEAR,
    )
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    return np.asarray(scaled.crop((left, top, left + width, top + height))).transpose(2, 0, 1)


def draw_textures(n: int, size: tuple[int, int], *, seed: int = 0) -> Tensor:
    """Draw colored textures to stand in for pictures; results with them are not the protocol's.

    Each channel is a sum of eight plane waves of random direction, phase and wavelength, with
    amplitudes as in photographs (proportional to the wavelength), stretched to [0, 255].

    :param n: number of textures
    :param size: size (H, W) of a texture, in pixels
    :param seed: random seed
    :return: (n, 3, H, W) uint8
    """
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width] / max(size)
    cycles = 2 ** rng.uniform(0, 5, (n, 3, 8))
    angle, phase = rng.uniform(0, 2 * np.pi, (2, n, 3, 8))
    made = np.zeros((n, 3, height, width))
    for wave in range(cycles.shape[-1]):
        frequency, turn, start = (a[..., wave, None, None] for a in (cycles, angle, phase))
        along = np.cos(turn) * x + np.sin(turn) * y
        made += np.sin(2 * np.pi * frequency * along + start) / frequency
    low = made.min(axis=(2, 3), keepdims=True)
    high = made.max(axis=(2, 3), keepdims=True)
    return torch.from_numpy(np.round(255 * (made - low) / (high - low)).astype(np.uint8))
