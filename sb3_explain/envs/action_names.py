"""Names of an environment's actions."""

from __future__ import annotations

from itertools import compress
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from sb3_explain.envs.given_action_names import accept_action_names

_CHEETAH = ("back thigh", "back shin", "back foot", "front thigh", "front shin", "front foot")
_LEGS = ("thigh", "leg", "foot", "left thigh", "left leg", "left foot")
_HIPS = ("left hip", "left knee", "right hip", "right knee")
_SIDES = ("right", "left")
_ANT = ("back right", "front left", "front right", "back left")
_HUMANOID = (
    "abdomen y",
    "abdomen z",
    "abdomen x",
    *(f"{side} {joint}" for side in _SIDES for joint in ("hip x", "hip z", "hip y", "knee")),
    *(f"{side} {joint}" for side in _SIDES for joint in ("shoulder 1", "shoulder 2", "elbow")),
)
_DRIVING = ("lane left", "idle", "lane right", "faster", "slower")

#: names of discrete actions, by the name of the environment without its version
DISCRETE: dict[str, tuple[str, ...]] = {
    "CartPole": ("left", "right"),
    "MountainCar": ("left", "nothing", "right"),
    "Acrobot": ("torque -1", "torque 0", "torque +1"),
    "LunarLander": ("nothing", "left engine", "main engine", "right engine"),
    "CarRacing": ("nothing", "right", "left", "gas", "brake"),
    "FrozenLake": ("left", "down", "right", "up"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
    "CliffWalking": ("up", "right", "down", "left"),
    "highway": _DRIVING,
    "highway-fast": _DRIVING,
    "merge": _DRIVING,
    "roundabout": _DRIVING,
    "exit": _DRIVING,
}
#: names of the dimensions of Box actions, in the same way
CONTINUOUS: dict[str, tuple[str, ...]] = {
    "MountainCarContinuous": ("force",),
    "Pendulum": ("torque",),
    "LunarLander": ("main engine", "side engines"),
    "LunarLanderContinuous": ("main engine", "side engines"),
    "BipedalWalker": _HIPS,
    "BipedalWalkerHardcore": _HIPS,
    "CarRacing": ("steer", "gas", "brake"),
    "parking": ("acceleration", "steering"),
    "racetrack": ("steering",),
    "PandaReach": ("x", "y", "z"),
    "InvertedPendulum": ("force",),
    "InvertedDoublePendulum": ("force",),
    "Reacher": ("first arm", "second arm"),
    "Pusher": (
        "shoulder pan", "shoulder lift", "upper arm roll", "elbow flex", "forearm roll",
        "wrist flex", "wrist roll",
    ),
    "Swimmer": ("first rotor", "second rotor"),
    "HalfCheetah": _CHEETAH,
    "Hopper": _LEGS[:3],
    "Walker2d": _LEGS,
    "Ant": tuple(f"{leg} {joint}" for leg in _ANT for joint in ("hip", "ankle")),
    "Humanoid": _HUMANOID,
    "HumanoidStandup": _HUMANOID,
}  # fmt: skip
#: names of the actuators of DMControl's domains
DM_CONTROL: dict[str, tuple[str, ...]] = {
    "acrobot": ("elbow",),
    "ball_in_cup": ("cup x", "cup z"),
    "cartpole": ("force",),
    "cheetah": _CHEETAH,
    "finger": ("proximal", "distal"),
    "fish": ("tail", "tail twist", "fins flap", "left fin pitch", "right fin pitch"),
    "hopper": ("waist", "hip", "knee", "ankle"),
    "pendulum": ("torque",),
    "reacher": ("shoulder", "wrist"),
    "walker": tuple(f"{side} {joint}" for side in _SIDES for joint in ("hip", "knee", "ankle")),
}


def find_action_names(
    env_id: str, space: spaces.Space[Any], env: gym.Env[Any, Any] | None = None
) -> tuple[str, ...] | None:
    """One name per score of an agent, or ``None`` if the actions have no known names.

    >>> from sb3_explain.envs.action_names import find_action_names
    >>> find_action_names("CartPole-v1", gym.make("CartPole-v1").action_space)
    ('left', 'right')

    :param env_id: gymnasium id of the environment
    :param space: action space of the agent
    :param env: the environment itself, whose own names come first: its attribute ``action_names``
        or that of a wrapper, then what Atari, highway-env and ViZDoom have
    """
    if env is not None and env.has_wrapper_attr("action_names"):
        own = accept_action_names(env.get_wrapper_attr("action_names"), space)
        if own is not None:
            return own
    n_names = count_nameable_actions(space)
    names = _ask_meanings(env.unwrapped) if env is not None else ()
    names = names or _look_up(env_id.rpartition("-v")[0], space)
    # Wrappers and arguments (continuous=True) may change the number of actions.
    return names if len(names) == n_names else None


def _look_up(path: str, space: spaces.Space[Any]) -> tuple[str, ...]:
    """The names that are known of an environment without its version; empty if there are none."""
    namespace, _, name = path.rpartition("/")
    if not isinstance(space, spaces.Box):
        return DISCRETE.get(name, ())
    if namespace == "dm_control":
        return DM_CONTROL.get(name.partition("-")[0], ())
    if namespace == "DMCGB":  # as "walker_walk-train"
        task = name.partition("-")[0]
        return next((known for key, known in DM_CONTROL.items() if task.startswith(key)), ())
    return CONTINUOUS.get(name, ())


def count_nameable_actions(space: spaces.Space[Any]) -> int:
    """Number of scores if each may have a name in its environment, else 0."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.Box | spaces.MultiBinary) and len(space.shape) == 1:
        return int(space.shape[0])
    return 0


def _ask_meanings(env: Any) -> tuple[str, ...]:
    """What Atari, highway-env and ViZDoom say of their actions; empty if there is nothing."""
    meanings = getattr(env, "get_action_meanings", None)
    if callable(meanings):
        return tuple(str(name) for name in meanings())
    action_type = getattr(env, "action_type", None)
    by_number = getattr(action_type, "actions", None)
    if isinstance(by_number, dict):
        return tuple(_to_words(by_number[number]) for number in sorted(by_number))
    axes = (("longitudinal", "acceleration"), ("lateral", "steering"))
    steered = tuple(name for axis, name in axes if getattr(action_type, axis, False) is True)
    if steered:
        return steered
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
