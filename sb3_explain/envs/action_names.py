"""Names of an environment's actions."""

from __future__ import annotations

from itertools import compress
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

#: names of the actions, by the name of the environment without its version
NAMES: dict[str, tuple[str, ...]] = {
    "CartPole": ("left", "right"),
    "MountainCar": ("left", "nothing", "right"),
    "MountainCarContinuous": ("force",),
    "Acrobot": ("torque -1", "torque 0", "torque +1"),
    "Pendulum": ("torque",),
    "LunarLander": ("nothing", "left engine", "main engine", "right engine"),
    "LunarLanderContinuous": ("main engine", "side engines"),
    "BipedalWalker": ("left hip", "left knee", "right hip", "right knee"),
    "BipedalWalkerHardcore": ("left hip", "left knee", "right hip", "right knee"),
    "CarRacing": ("steer", "gas", "brake"),
    "FrozenLake": ("left", "down", "right", "up"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
    "CliffWalking": ("up", "right", "down", "left"),
    "highway": ("lane left", "idle", "lane right", "faster", "slower"),
    "PandaReach": ("x", "y", "z"),
}


def find_action_names(
    env_id: str, n_scores: int, env: gym.Env[Any, Any] | None = None
) -> tuple[str, ...] | None:
    """One name per score of an agent, or ``None`` if the actions have no known names.

    :param env_id: gymnasium id of the environment
    :param n_scores: number of scores to name
    :param env: the environment itself, whose own names come first
    """
    names = _ask_names(env.unwrapped) if env is not None else ()
    names = names or NAMES.get(env_id.rpartition("/")[2].rpartition("-v")[0], ())
    # Wrappers and arguments (continuous=True) may change the number of actions.
    return names if len(names) == n_scores else None


def count_nameable_actions(space: spaces.Space[Any]) -> int:
    """Number of scores if each may have a name in its environment, else 0."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.Box | spaces.MultiBinary) and len(space.shape) == 1:
        return int(space.shape[0])
    return 0


def _ask_names(env: Any) -> tuple[str, ...]:
    """The names that an Atari game, highway-env or ViZDoom gives its actions; empty for others."""
    meanings = getattr(env, "get_action_meanings", None)
    if callable(meanings):
        return tuple(str(name) for name in meanings())
    by_number = getattr(getattr(env, "action_type", None), "actions", None)
    if isinstance(by_number, dict):
        return tuple(_to_words(by_number[number]) for number in sorted(by_number))
    available_buttons = getattr(getattr(env, "game", None), "get_available_buttons", None)
    if callable(available_buttons):
        buttons = [_to_words(button.name) for button in available_buttons()]
        # which buttons each Discrete action holds down; without it, an action is a button
        held = getattr(env, "button_map", None)
        if held is None:
            return tuple(buttons)
        return tuple(" + ".join(compress(buttons, action)) or "nothing" for action in held)
    return ()


def _to_words(constant: Any) -> str:
    """A constant's name as words: ``"LANE_LEFT"`` -> ``"lane left"``."""
    return str(constant).lower().replace("_", " ")


def number_actions(space: spaces.Space[Any]) -> list[str]:
    """Numbered names, one per score of an agent: ``"action 0"``, ``"action 1"``, ...

    :param space: action space of the agent; a MultiDiscrete one gives ``"action 0=1"``, ...
    """
    if isinstance(space, spaces.Discrete):
        return [f"action {i}" for i in range(int(space.n))]
    if isinstance(space, spaces.MultiDiscrete):
        return [f"action {i}={v}" for i, n in enumerate(space.nvec.ravel()) for v in range(n)]
    return [f"action {i}" for i in range(int(np.prod(space.shape or (1,))))]
