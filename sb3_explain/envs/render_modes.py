"""Whether an environment can draw RGB frames, as it says itself, or as a trial shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.failures import describe_failure
from sb3_explain.common.untrusted import one_line
from sb3_explain.envs.failing import read_picture
from sb3_explain.envs.recipe import EnvRecipe, begin_episode
from sb3_explain.envs.registered import register_environments

#: render mode that gives frames (h, w, 3) uint8
RGB = "rgb_array"


class NoFramesError(ExplainError):
    """Frames are asked for, and the environment draws none.

    :param reason: why there are none, and what would give some
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}, or collect with render=False")
        self.reason = reason


def lists_rgb(made: object) -> bool:
    """Whether an environment, or its class, says that it draws RGB frames.

    :param made: environment or class, whose ``metadata`` lists its render modes
    """
    metadata = getattr(made, "metadata", None)
    return isinstance(metadata, dict) and RGB in (metadata.get("render_modes") or ())


def find_fault(recipe: EnvRecipe) -> str:
    """Why the environments of a recipe draw no RGB frames; empty if they do, or say so.

    :param recipe: how the environments are made
    :raises ExplainError: if a package of the recipe cannot be imported
    """
    register_environments(recipe.env_id, recipe.packages, recipe.trusted)
    spec = gym.registry.get(recipe.env_id)
    try:
        entry_point = spec.entry_point if spec is not None else None
        made = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    except Exception:  # whoever makes the environment says what is wrong
        return ""
    if not isinstance(made, type) or lists_rgb(made):
        return ""
    return try_drawing(lambda: recipe.make(RGB))


def try_drawing(make: Callable[[], Any]) -> str:
    """Why an environment that does not say so draws no RGB frames; empty if it does.

    :param make: makes the environment, to draw
    """
    try:
        env = make()
    except ExplainError as error:
        return one_line(error).partition(":")[0]
    try:
        begin_episode(env, 0)
        read_picture("it", env.render(), None)
    except NotImplementedError:
        return "it has no method render"
    except AssertionError:  # Gymnasium's checker, around an environment that is made by its id
        return "Gymnasium asks for the mode in its metadata"
    except ExplainError as error:
        return one_line(error).partition(":")[0]
    except Exception as error:  # the user's code may fail in any way
        return describe_failure(error)
    finally:
        env.close()
    return ""
