"""Procedural wood, carpet and concrete, for the tables of the test scenes."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

#: height and width of a texture, in pixels
SIDE = 512


def draw_wood() -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) eight planks of brown wood, whose grain runs along them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    plank = (8 * x).astype(int)
    offset, tone = rng.uniform(0, 10, 8)[plank], rng.uniform(0.8, 1.1, 8)[plank]
    bends = _smooth_noise(rng, (60, 15))
    grain = np.sin(2 * np.pi * (40 * x + 1.5 * bends + offset + 0.6 * np.sin(4 * y + offset)))
    seam = (8 * x) % 1 < 0.04
    shade = tone * (1 + 0.10 * grain + 0.05 * _smooth_noise(rng, (20, 1))) * np.where(seam, 0.5, 1)
    return _color(shade, (166, 112, 62))


def draw_carpet() -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) the loops of a black carpet."""
    rng = np.random.default_rng(1)
    shade = 1 + 0.35 * _smooth_noise(rng, (1.5, 1.5)) + 0.15 * _smooth_noise(rng, (12, 12))
    return _color(shade, (42, 42, 46))


def draw_concrete() -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) gray concrete, with stains and small dark pores."""
    rng = np.random.default_rng(2)
    shade = 1 + 0.10 * _smooth_noise(rng, (40, 40)) + 0.06 * _smooth_noise(rng, (3, 3))
    pores = _smooth_noise(rng, (2, 2)) > 2.6
    return _color(np.where(pores, 0.6, shade), (150, 150, 145))


#: textures by the file names that the authors' scenes have for them
TEXTURES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "table1.png": draw_wood,
    "carpet-black.png": draw_carpet,
    "concrete.png": draw_concrete,
}


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """The content of a PNG file of a picture."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def _smooth_noise(rng: np.random.Generator, width: tuple[float, float]) -> NDArray[np.float64]:
    """(SIDE, SIDE) noise of mean 0 and variance 1, smoothed by so many pixels along each axis."""
    noise: NDArray[np.float64] = gaussian_filter(rng.normal(size=(SIDE, SIDE)), width, mode="wrap")
    noise -= noise.mean()
    noise /= noise.std()
    return noise


def _color(shade: NDArray[np.float64], color: tuple[int, int, int]) -> NDArray[np.uint8]:
    painted = np.clip(shade[..., None] * np.array(color, dtype=np.float64), 0, 255)
    return painted.astype(np.uint8)
