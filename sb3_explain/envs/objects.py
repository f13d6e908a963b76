"""The objects of an Atari game, read from the RAM of its console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.object_layouts import LAYOUTS
from sb3_explain.envs.playfields import Box, find_game

#: number of bytes of an Atari 2600's RAM
RAM_SIZE = 128


@dataclass(frozen=True)
class GameObject:
    """An object of a game and where it is, in pixels of the 210 x 160 picture.

    >>> from sb3_explain import GameObject
    >>> GameObject("Ball", x=76, y=120, width=2, height=4).box
    (120, 76, 4, 2)

    :param category: what it is, such as ``"Ball"``, by OCAtari's names
    :param x: column of its upper left corner; negative where it leaves the picture
    :param y: row of its upper left corner
    :param width: width, in pixels
    :param height: height, in pixels
    """

    category: str
    x: int
    y: int
    width: int
    height: int

    @property
    def box(self) -> Box:
        """(top, left, height, width) in pixels, as :func:`sb3_explain.rasterize_boxes` takes it."""
        return self.y, self.x, self.height, self.width


@check_arguments
def decode_objects(env_id: str, ram: Sequence[int] | NDArray[np.uint8]) -> list[GameObject]:
    """The objects that the RAM of a game says are on the screen.

    Pong, Breakout, Seaquest, MsPacman and Freeway are known. The boxes are those of OCAtari
    (Delfosse et al., 2024), to a pixel; MsPacman's pills are those of its first maze.

    >>> from sb3_explain import decode_objects
    >>> ram = np.zeros(128, np.uint8)
    >>> ram[[49, 54, 51]] = 125, 134, 100
    >>> [(each.category, each.x, each.y) for each in decode_objects("PongNoFrameskip-v4", ram)]
    [('Player', 140, 87), ('Ball', 76, 120)]

    :param env_id: gymnasium id, for example ``"PongNoFrameskip-v4"`` or ``"ALE/Pong-v5"``
    :param ram: the 128 bytes of the console's RAM
    :raises ExplainError: for a game whose RAM is not known, or a RAM of another size
    """
    layout = LAYOUTS.get(game := find_game(env_id) or env_id)
    if layout is None:
        raise unknown_name("game for its objects", game, LAYOUTS)
    if np.shape(ram) != (RAM_SIZE,):
        raise ExplainError(
            f"a RAM of shape {np.shape(ram)}: give the {RAM_SIZE} bytes of ale.getRAM()"
        )
    return [GameObject(*placed) for placed in layout(np.asarray(ram).tolist())]


@check_arguments
def read_objects(env: gym.Env[Any, Any]) -> list[GameObject]:
    """The objects on the screen of an Atari environment, as :func:`decode_objects` finds them.

    >>> import gymnasium
    >>> from sb3_explain import EnvRecipe, read_objects
    >>> env = EnvRecipe("FreewayNoFrameskip-v4").make()
    >>> _ = env.reset(seed=0)
    >>> sum(each.category == "Car" for each in read_objects(env))
    10

    :param env: an environment of the Arcade Learning Environment, with any wrappers
    :raises ExplainError: if it is none of these, or its game is not known
    """
    name, ale = find_console(env)
    return decode_objects(name, ale.getRAM())


def find_console(env: gym.Env[Any, Any]) -> tuple[str, Any]:
    """The id of an Atari environment, and its emulator.

    :raises ExplainError: if it does not come from the Arcade Learning Environment
    """
    inner = env.unwrapped
    name = inner.spec.id if inner.spec else type(inner).__name__
    if (ale := getattr(inner, "ale", None)) is None:
        raise ExplainError(
            f"{name} has no RAM to read: objects are those of Atari games ({', '.join(LAYOUTS)})"
        )
    return name, ale
