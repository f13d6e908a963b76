"""How a mode changes a scene: other colors of its materials, or a video where it is green."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sb3_explain.common.errors import ExplainError

#: RGB colors in [0, 1], by the benchmark's names of the materials
Colors = Mapping[str, list[float]]

GREEN = [0.2, 0.8, 0.2]
SKY_GREEN: Colors = {"skybox_rgb": GREEN, "skybox_rgb2": GREEN, "skybox_markrgb": GREEN}
FLOOR_GREEN: Colors = {"grid_rgb1": GREEN, "grid_rgb2": GREEN, "grid_markrgb": GREEN}

#: element type, element name and attribute of each color in the suite's common files
ATTRIBUTES = {
    "grid_rgb1": ("texture", "grid", "rgb1"),
    "grid_rgb2": ("texture", "grid", "rgb2"),
    "grid_markrgb": ("texture", "grid", "markrgb"),
    "skybox_rgb": ("texture", "skybox", "rgb1"),
    "skybox_rgb2": ("texture", "skybox", "rgb2"),
    "skybox_markrgb": ("texture", "skybox", "markrgb"),
    "self_rgb": ("material", "self", "rgba"),
}
COMMON = ("./common/materials.xml", "./common/skybox.xml")


def paint(assets: Mapping[str, bytes], colors: Colors) -> dict[str, bytes]:
    """The suite's files with other colors; the grid's marks take its second color by default.

    :param assets: content of the files by name, as ``get_model_and_assets`` of a domain returns it
    :param colors: RGB colors in [0, 1], by the benchmark's names
    """
    given = dict(colors)
    if "grid_rgb2" in given:
        given.setdefault("grid_markrgb", given["grid_rgb2"])
    changed = dict(assets)
    for name in COMMON:
        root = ElementTree.fromstring(assets[name])
        for key, color in given.items():
            kind, element_name, attribute = ATTRIBUTES[key]
            for element in root.iter(kind):
                if element.get("name") == element_name:
                    alpha = [1.0] if attribute == "rgba" else []
                    element.set(attribute, " ".join(str(value) for value in [*color, *alpha]))
        changed[name] = ElementTree.tostring(root)
    return changed


@lru_cache
def read_color_sets(mode: str) -> list[Colors]:
    """The 100 sets of colors of ``color_easy`` or ``color_hard`` (Hansen and Wang 2021)."""
    text = resources.files(__package__).joinpath(f"{mode}.json").read_text()
    sets: list[Colors] = json.loads(text)
    return sets


def replace_green(frame: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace the green pixels of a frame by those of a background.

    Green is a hue of 100 to 185 degrees with a saturation of at least 80 and a value of at least
    70, both of 255.

    :param frame: (H, W, 3) RGB frame
    :param background: (H, W, 3) RGB picture of the same size
    """
    red, green, blue = np.moveaxis(frame.astype(np.int32), 2, 0)
    value = frame.max(axis=2).astype(np.int32)
    chroma = value - frame.min(axis=2)
    # Only where green is the largest, or blue at a hue below 185 degrees, is it one of these.
    with np.errstate(divide="ignore", invalid="ignore"):
        hue = np.where(value == green, 120 + 60 * (blue - red) / chroma, np.inf)
        hue = np.where((value == blue) & (value != green), 240 + 60 * (red - green) / chroma, hue)
        hue = np.where(value == red, np.inf, hue)
        saturation = 255 * chroma / value
    keyed = (hue >= 100) & (hue <= 185) & (saturation >= 80) & (value >= 70)
    return np.where(keyed[..., None], background, frame)


def find_videos(folder: str | Path | None, mode: str) -> list[Path]:
    """Paths of the videos of a mode, ordered by number.

    :param folder: folder that holds folders ``video_easy`` and ``video_hard`` of ``.mp4`` files
    :param mode: ``"video_easy"`` or ``"video_hard"``
    :raises ExplainError: if the folder is not given, or holds no videos
    """
    layout = f"clips are expected as FOLDER/{mode}/video0.mp4, video1.mp4, ..."
    if folder is None:
        raise ExplainError(
            f"mode {mode!r} needs videos: give their folder (background_folder=); {layout}"
        )
    found = list((Path(folder) / mode).glob("*.mp4"))
    if not found:
        raise ExplainError(f"there are no videos in {Path(folder) / mode}: {layout}")
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


@lru_cache(maxsize=128)
def read_clip(path: Path, size: int) -> NDArray[np.uint8]:
    """(T, size, size, 3) frames of a video, resized bilinearly; cached.

    :param path: path of the video
    :param size: height and width of the frames, in pixels
    :raises ExplainError: if the file cannot be read as a video
    """
    try:
        frames = [
            np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))
            for frame in imageio.imiter(path, plugin="FFMPEG")
        ]
    except (OSError, ValueError, RuntimeError) as error:
        raise ExplainError(f"{path} cannot be read as a video: replace it") from error
    if not frames:
        raise ExplainError(f"{path} holds no frame: replace it")
    return np.stack(frames)
