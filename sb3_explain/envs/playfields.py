"""The playfield of a game: the part of its picture without score, lives and clock."""

from __future__ import annotations

import math
import re

#: (top, left, height, width) in pixels
Box = tuple[int, int, int, int]

#: playfields in pixels of the rendered frame: 210 x 160 for Atari, 240 x 256 for Super Mario
PLAYFIELDS: dict[str, Box] = {
    "Enduro": (51, 8, 104, 152),
    "Seaquest": (56, 8, 132, 152),
    "MsPacman": (0, 0, 172, 160),
    "SuperMarioBros": (31, 0, 209, 256),
}

#: a gymnasium id: namespace, game, variant, version
_GAME = re.compile(r"(?:.*/)?([A-Za-z]+?)(?:NoFrameskip|Deterministic)?(?:-.*)?")


def playfield(env_id: str) -> Box | None:
    """The playfield of a game in pixels of its rendered frame; ``None`` if it is not known.

    The boxes are those of Zuo et al. (2025).

    >>> from sb3_explain import playfield
    >>> playfield("SeaquestNoFrameskip-v4")
    (56, 8, 132, 152)

    :param env_id: gymnasium id, for example ``"EnduroNoFrameskip-v4"`` or ``"ALE/Enduro-v5"``
    :return: (top, left, height, width) in pixels
    """
    return PLAYFIELDS.get(find_game(env_id) or "")


def find_game(env_id: str) -> str | None:
    """The name of the game in a gymnasium id, such as ``"Enduro"``; ``None`` if it names none."""
    match = _GAME.fullmatch(env_id)
    return match[1] if match else None


def scale_box(box: Box, native_size: tuple[int, int], size: tuple[int, int]) -> Box:
    """Convert a box from pixels of the rendered frame to pixels of a resized observation.

    A row or column of the observation belongs to the box if at least half of it lies inside.

    >>> from sb3_explain import playfield, scale_box
    >>> scale_box(playfield("SeaquestNoFrameskip-v4"), native_size=(210, 160), size=(84, 84))
    (22, 4, 53, 80)

    :param box: (top, left, height, width) in pixels of the rendered frame
    :param native_size: (height, width) of the rendered frame, in pixels
    :param size: (height, width) of the observation, in pixels, for example (84, 84)
    :return: (top, left, height, width) in pixels of the observation
    """
    top, left, height, width = box
    first_row, end_row = _edges(top, height, native_size[0], size[0])
    first_column, end_column = _edges(left, width, native_size[1], size[1])
    return first_row, first_column, end_row - first_row, end_column - first_column


def _edges(start: int, length: int, pixels: int, size: int) -> tuple[int, int]:
    """The first pixel of which at least half lies inside, and the one after the last."""
    first = math.ceil(start * size / pixels - 0.5)
    end = math.floor((start + length) * size / pixels + 0.5)
    return first, end
