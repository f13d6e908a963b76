"""Copies of live environments, which are played in place of the user's own."""

from __future__ import annotations

import contextlib
import copy
import ctypes
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import NormalizeObservation
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize, VecVideoRecorder
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line

#: whole numbers from here on may be addresses of what lies outside Python, such as an emulator
ADDRESS = 2**32
#: attributes of a VecEnvWrapper that are not its own state
SHARED = ("venv", "class_attributes")


class NotCopiedError(ExplainError):
    """An environment cannot be copied; the message says why."""


def list_layers(env: gym.Env[Any, Any]) -> list[gym.Env[Any, Any]]:
    """The wrappers of an environment, outermost first, and the environment itself."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return layers


def list_vec_layers(env: VecEnv) -> list[VecEnv]:
    """The wrappers of a VecEnv, outermost first, and the VecEnv itself."""
    layers = [env]
    while isinstance(layers[-1], VecEnvWrapper):
        layers.append(layers[-1].venv)
    return layers


def copy_env(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Copy an environment with its wrappers; neither one's steps change the other.

    The copy writes no files of Monitor's, and may be reset at any time.

    :param env: the environment, which is neither stepped nor reset
    :raises NotCopiedError: if a part of it cannot be copied, or may lie outside Python
    """
    memo: dict[int, Any] = {}
    _forget_resources(env, memo)
    copied: gym.Env[Any, Any] = _deepcopy(env, memo)
    _prepare(copied)
    return copied


def copy_vec_env(env: VecEnv) -> VecEnv:
    """Copy a VecEnv with its wrappers, without those that record videos.

    :param env: a DummyVecEnv, with any wrappers around it
    :raises NotCopiedError: if it is no DummyVecEnv, or a part of it cannot be copied
    """
    *layers, base = list_vec_layers(env)
    if not isinstance(base, DummyVecEnv):
        raise NotCopiedError(f"its {type(base).__name__} plays elsewhere")
    memo: dict[int, Any] = {}
    for each in base.envs:
        _forget_resources(each, memo)
    copied: VecEnv = _deepcopy(base, memo)
    for each in copied.envs:  # type: ignore[attr-defined]
        _prepare(each)
    for layer in reversed(layers):
        if isinstance(layer, VecVideoRecorder):
            continue
        _forget_writer(layer, memo)
        # Not by deepcopy: VecNormalize leaves out what it wraps, and others look for attributes
        # of a wrapped environment before they have one.
        wrapper = object.__new__(type(layer))
        classes = getattr(layer, "class_attributes", {})
        own = _deepcopy(_own_state(layer), memo)
        wrapper.__dict__.update(own, venv=copied, class_attributes=classes)
        copied = wrapper
    return copied


def hold_statistics(env: VecEnv) -> None:
    """Make VecNormalize normalize observations as it stands: no new statistics, raw rewards."""
    for layer in list_vec_layers(env):
        if isinstance(layer, VecNormalize):
            layer.training = layer.norm_reward = False


@contextlib.contextmanager
def put_back_wrappers(env: VecEnv) -> Iterator[None]:
    """Put the wrappers of a VecEnv that is played itself back as they were found.

    :param env: a VecEnv that cannot be copied; what it wraps stands elsewhere afterwards
    """
    saved = []
    for layer in list_vec_layers(env)[:-1]:
        memo: dict[int, Any] = {}
        values = {}
        for name, value in _own_state(layer).items():
            try:
                values[name] = copy.deepcopy(value, memo)
            except Exception:  # such as an open file: it stays the same object
                values[name] = value
        saved.append((layer, values))
    try:
        yield
    finally:
        for layer, values in saved:
            layer.__dict__.update(values)


def _own_state(layer: VecEnv) -> dict[str, Any]:
    """The attributes of a wrapper of a VecEnv that are not what it wraps."""
    return {name: value for name, value in vars(layer).items() if name not in SHARED}


def _deepcopy(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except Exception as error:  # the user's classes may refuse in any way
        raise NotCopiedError(one_line(error)) from error


def _forget_resources(env: gym.Env[Any, Any], memo: dict[int, Any]) -> None:
    """Note what a copy does without: open files of Monitor, clocks of pygame.

    :raises NotCopiedError: if an attribute may be the address of something outside Python, which
        both would then play, and free twice
    """
    for layer in list_layers(env):
        _forget_writer(layer, memo)
        for name, value in vars(layer).items():
            if type(value).__module__.partition(".")[0] == "pygame" and _refuses_copy(value):
                memo[id(value)] = None  # made again when it draws
            is_address = type(value) is int and abs(value) >= ADDRESS and "seed" not in name
            if is_address or type(value).__module__ == "ctypes" or isinstance(value, ctypes.CDLL):
                raise NotCopiedError(
                    f"{type(layer).__name__}.{name} may be an address outside of Python"
                )


def _refuses_copy(value: Any) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:
        return True
    return False


def _forget_writer(layer: Any, memo: dict[int, Any]) -> None:
    writer = vars(layer).get("results_writer")
    if writer is not None:
        memo[id(writer)] = None


def _prepare(env: gym.Env[Any, Any]) -> None:
    for layer in list_layers(env):
        if isinstance(layer, Monitor):
            layer.allow_early_resets = True
        if isinstance(layer, NormalizeObservation):  # as the policy was shown them
            layer.update_running_mean = False
