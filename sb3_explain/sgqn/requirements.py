"""What SGQN and its baselines need of an environment and of their arguments, said in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_explain.common.errors import ExplainError

#: arguments of SB3's SAC that have no meaning here, with the value that changes nothing
WITHOUT = {"use_sde": False, "target_update_interval": 1, "n_steps": 1}


def require_pixels(observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
    """:raises ExplainError: unless observations are stacked images and actions a Box"""
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
    """:raises ExplainError: if so many channels are not so many frames"""
    if n_stack < 1 or channels % n_stack:
        raise ExplainError(f"{channels} channels are not {n_stack} stacked frames: give n_stack")


def require_larger(height: int, width: int, size: int) -> None:
    """:raises ExplainError: if images are not larger than what is cropped of them"""
    if min(height, width) <= size:
        raise ExplainError(
            f"random crops to {size} x {size} need larger images than {height} x {width}: render "
            "larger ones, or give policy_kwargs={'size': ...}"
        )


def require_meaning(algorithm: str, arguments: Mapping[str, Any]) -> None:
    """:raises ExplainError: if an argument of SAC is given that would be ignored"""
    for name, default in WITHOUT.items():
        if arguments.get(name, default) != default:
            raise ExplainError(f"{algorithm} has no {name}: leave it out")


def require_share(**numbers: Any) -> None:
    """:raises ExplainError: if one of them is outside of [0, 1]"""
    for name, number in numbers.items():
        if not 0 <= finite(name, number) <= 1:
            raise ExplainError(f"{name}={number}: give a number in [0, 1]")


def require_not_negative(**numbers: Any) -> None:
    """:raises ExplainError: if one of them is below 0, or no number"""
    for name, number in numbers.items():
        if finite(name, number) < 0:
            raise ExplainError(f"{name}={number}: it cannot be below 0")


def require_whole(least: int, **numbers: Any) -> None:
    """:raises ExplainError: if one of them is no whole number, or below ``least``"""
    for name, number in numbers.items():
        if not isinstance(number, (int, np.integer)) or number < least:
            raise ExplainError(f"{name}={number!r}: give a whole number of at least {least}")


def finite(name: str, number: Any) -> float:
    """The number, if it is one.

    :raises ExplainError: for anything else
    """
    if not isinstance(number, (int, float, np.number)) or not math.isfinite(number):
        raise ExplainError(f"{name}={number!r}: give a number")
    return float(number)
