"""Checks of the environment and the arguments of SGQN and its baselines, with one-line errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.sgqn.augmentations import STRONG

#: arguments of SB3's SAC that are not supported, with the value that has no effect
WITHOUT = {"use_sde": False, "target_update_interval": 1, "n_steps": 1}


def require_pixels(observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
    """Require uint8 images (C, H, W) in 0..255 and a Box of actions.

    :raises ExplainError: for other spaces
    """
    if not isinstance(actions, spaces.Box):
        raise ExplainError(
            f"SGQN and its baselines choose continuous actions (Box), not {actions}: use DQN, "
            "QRDQN or PPO for such an environment"
        )
    images = (
        isinstance(observations, spaces.Box)
        and len(observations.shape) == 3
        and observations.dtype == np.uint8
        and bool((observations.low == 0).all() and (observations.high == 255).all())
    )
    if not images:
        raise ExplainError(
            "SGQN and its baselines look at uint8 images (C, H, W) in 0..255, not at "
            f"{observations}: use SAC for such an environment"
        )


def require_stack(channels: int, n_stack: int) -> None:
    """Require that the channels divide into ``n_stack`` frames.

    :raises ExplainError: if they do not
    """
    if n_stack < 1 or channels % n_stack:
        raise ExplainError(f"{channels} channels are not {n_stack} stacked frames: give n_stack")


def require_augmentable(strong: str, channels: int, n_stack: int, without: str) -> None:
    """Require frames for the strong augmentation: a picture has one channel, or three.

    :param strong: name of the strong augmentation
    :param channels: number of channels of an observation
    :param n_stack: number of frames that are stacked in it
    :param without: the argument that does without it, for the message; empty if nothing needs it
    :raises ExplainError: for an unknown name, and for frames of any other number of channels
    """
    if strong not in STRONG:
        raise unknown_name("strong_augmentation", strong, STRONG)
    if without and strong == "overlay" and channels // n_stack not in (1, 3):
        raise ExplainError(
            f"frames of {channels // n_stack} channels cannot be mixed with a picture: give frames "
            f"of 1 or 3, another n_stack, strong_augmentation='convolution', or {without}"
        )


def require_larger(height: int, width: int, size: int) -> None:
    """Require images that are larger than the crops taken from them.

    :param height: height of the images in pixels
    :param width: width of the images in pixels
    :param size: side of the crops in pixels
    :raises ExplainError: if they are not
    """
    if min(height, width) <= size:
        raise ExplainError(
            f"random crops to {size} x {size} need larger images than {height} x {width}: render "
            "larger ones, or give policy_kwargs={'size': ...}"
        )


def require_meaning(algorithm: str, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of SAC that would be ignored.

    :param algorithm: name of the class
    :param arguments: arguments by name
    :raises ExplainError: if one of :data:`WITHOUT` has another value than the one listed there
    """
    for name, default in WITHOUT.items():
        if arguments.get(name, default) != default:
            raise ExplainError(f"{algorithm} has no {name}: leave it out")


def require_share(**numbers: Any) -> None:
    """Require numbers in [0, 1], given by name.

    :raises ExplainError: for anything else
    """
    for name, number in numbers.items():
        if not 0 <= require_number(name, number) <= 1:
            raise ExplainError(f"{name}={number}: give a number in [0, 1]")


def require_not_negative(**numbers: Any) -> None:
    """Require numbers of at least 0, given by name.

    :raises ExplainError: for anything else
    """
    for name, number in numbers.items():
        if require_number(name, number) < 0:
            raise ExplainError(f"{name}={number}: it cannot be below 0")


def require_whole(minimum: int, **numbers: Any) -> None:
    """Require whole numbers of at least ``minimum``, given by name.

    :raises ExplainError: for anything else
    """
    for name, number in numbers.items():
        if not isinstance(number, (int, np.integer)) or number < minimum:
            raise ExplainError(f"{name}={number!r}: give a whole number of at least {minimum}")


def require_number(name: str, number: Any) -> float:
    """Return a finite number as a float.

    :param name: name of the argument, for the message
    :param number: value of the argument
    :raises ExplainError: if it is not a finite number
    """
    if not isinstance(number, (int, float, np.number)) or not math.isfinite(number):
        raise ExplainError(f"{name}={number!r}: give a number")
    return float(number)
