"""Which part of a game's picture is played in: all but score, lives and clock."""

from __future__ import annotations

import math
import re

#: (top, left, height, width) in pixels
Box = tuple[int, int, int, int]

#: by the name of the game, in pixels of its rendered frame: Atari 210 x 160, Super Mario 240 x 256
PLAYFIELDS: dict[str, Box] = {
    "Enduro": (51, 8, 104, 152),
    "Seaquest": (56, 8, 132, 152),
    "MsPacman": (0, 0, 172, 160),
    "SuperMarioBros": (31, 0, 209, 256),
}

#: a gymnasium id: namespace, game, variant, version
_GAME = re.compile(r"(?:.*/)?([A-Za-z]+?)(?:NoFrameskip|Deterministic)?(?:-.*)?")


def playfield(env_id: str) -> Box | None:
    """(top, left, height, width) in pixels of the rendered frame; ``None`` where it is not known.

    The boxes are those of Zuo et al. (2025).

    :param env_id: gymnasium id, for example ``"EnduroNoFrameskip-v4"`` or ``"ALE/Enduro-v5"``
    """
    match = _GAME.fullmatch(env_id)
    return PLAYFIELDS.get(match[1]) if match else None


def scale_box(box: Box, native_size: tuple[int, int], size: tuple[int, int]) -> Box:
    """The box in size of an observation that is the whole rendered frame, resized.

    A row or column of size belongs to the box if half of it, or more, lies inside.

    :param box: (top, left, height, width) in pixels
    :param native_size: (height, width) of the rendered frame in pixels
    :param size: (height, width) of the observation, for example (84, 84)
    """
    top, left, height, width = box
    first_row, end_row = _edges(top, height, native_size[0], size[0])
    first_column, end_column = _edges(left, width, native_size[1], size[1])
    return first_row, first_column, end_row - first_row, end_column - first_column


def _edges(start: int, length: int, pixels: int, size: int) -> tuple[int, int]:
    """First cell, and the one after the last, of which half or more lies inside."""
    first = math.ceil(start * size / pixels - 0.5)
    end = math.floor((start + length) * size / pixels + 0.5)
    return first, end
