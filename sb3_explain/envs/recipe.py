"""How the environment of an agent is made, as plain data that can be saved."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.monitor import Monitor

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import require_class
from sb3_explain.common.untrusted import one_line, quote
from sb3_explain.envs.failing import read_reset, running_env
from sb3_explain.envs.known_wrappers import KNOWN_WRAPPERS
from sb3_explain.envs.registered import make, register_environments
from sb3_explain.envs.trust import check_trusted

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """Running statistics of VecNormalize, applied to one key of an observation.

    >>> from sb3_explain import Normalizer
    >>> normalizer = Normalizer(np.zeros(2), np.full(2, 4.0), epsilon=1e-8, clip=10.0)
    >>> normalizer(np.array([2.0, 100.0]))
    array([ 1., 10.], dtype=float32)

    :param mean: running mean, of the observation's shape
    :param var: running variance, of the observation's shape
    :param epsilon: number added to the variance
    :param clip: bound on the magnitude of normalized values
    """

    mean: Array
    var: Array
    epsilon: float
    clip: float

    def __call__(self, observation: Array) -> Array:
        """(observation - mean) / sqrt(var + epsilon), clipped, in float32 as VecNormalize does."""
        normalized = (observation - self.mean) / np.sqrt(self.var + self.epsilon)
        return np.clip(normalized, -self.clip, self.clip).astype(np.float32)

    def transpose(self, *axes: int) -> Normalizer:
        """The same statistics with their axes in another order."""
        return dataclasses.replace(
            self, mean=self.mean.transpose(axes), var=self.var.transpose(axes)
        )

    def fingerprint(self) -> str:
        """SHA-256 over all four statistics, which identifies the normalization."""
        numbers = [np.ravel(part) for part in (self.mean, self.var, self.epsilon, self.clip)]
        return hashlib.sha256(np.concatenate(numbers).astype(np.float64).tobytes()).hexdigest()


@dataclasses.dataclass(frozen=True)
class EnvRecipe:
    """Everything needed to rebuild the environment that an agent was trained in.

    >>> from sb3_explain import EnvRecipe
    >>> wrapper = "stable_baselines3.common.atari_wrappers.AtariWrapper"
    >>> recipe = EnvRecipe("PongNoFrameskip-v4", wrappers=((wrapper, {}),), frame_stack=4)
    >>> recipe.make().observation_space.shape
    (84, 84, 1)

    :param env_id: gymnasium id of the environment
    :param env_kwargs: arguments of ``gymnasium.make``
    :param wrappers: dotted name and arguments of each wrapper, innermost first
    :param frame_stack: number of stacked frames; 1 for no stacking
    :param normalizers: statistics per key of a Dict observation, or under ``""`` for any other
        observation. Their shape says whether they are of single frames, as VecNormalize has them
        under VecFrameStack, or of whole stacks, as around it
    :param packages: modules that register the environment when imported
    :param trusted: dotted names of further packages, modules or wrappers that may be imported
    :param channels_order: axis on which frames are stacked, as VecFrameStack has it: ``"first"``,
        ``"last"``, one of them per key, or ``None`` to stack images on their channels
    """

    #: how users come by one, for messages
    obtained_by: ClassVar[str] = 'for example EnvRecipe("CartPole-v1")'

    env_id: str
    env_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    wrappers: tuple[tuple[str, dict[str, Any]], ...] = ()
    frame_stack: int = 1
    normalizers: dict[str, Normalizer] = dataclasses.field(default_factory=dict)
    packages: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    channels_order: str | dict[str, str] | None = None

    def __post_init__(self) -> None:
        """:raises ExplainError: if the id is no text"""
        if not isinstance(self.env_id, str):
            raise ExplainError(f"env_id={quote(self.env_id)}: give a gymnasium id as text")

    def make(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Make one environment, monitored and wrapped, but not yet normalized or stacked.

        :param render_mode: ``"rgb_array"`` if ``render()`` should return frames
        :raises ExplainError: if the environment or a wrapper is missing, or not trusted
        """
        register_environments(self.env_id, self.packages, self.trusted)
        wrappers = [(import_wrapper(name, self.trusted), kwargs) for name, kwargs in self.wrappers]
        kwargs = {k: value for k, value in self.env_kwargs.items() if k != "render_mode"}
        if render_mode is not None:  # not every environment takes this argument
            kwargs["render_mode"] = render_mode
        env = make(self.env_id, **kwargs)
        # Under the wrappers, so that `episode` in `info` marks the end of a whole game.
        env = Monitor(env)
        for wrapper, kwargs in wrappers:
            try:
                env = wrapper(env, **kwargs)
            except Exception as error:  # a wrapper may refuse its arguments in any way
                raise ExplainError(
                    f"the wrapper {wrapper.__name__} cannot wrap {self.env_id} with "
                    f"{quote(kwargs)} ({one_line(error)})"
                ) from error
        return env

    def normalize(self, observation: Any) -> Any:
        """Normalize one observation, or each key of it that has statistics."""
        return normalize(self.normalizers, observation) if self.normalizers else observation

    def describe(self) -> dict[str, Any]:
        """The recipe as plain data, with fingerprints in place of the statistics."""
        described: dict[str, Any] = {
            "env_id": self.env_id,
            "env_kwargs": self.env_kwargs,
            "wrappers": [[name, kwargs] for name, kwargs in self.wrappers],
            "frame_stack": self.frame_stack,
            "normalized": {
                key: observed.fingerprint() for key, observed in self.normalizers.items()
            },
        }
        if self.channels_order is not None:  # what older versions described has no such key
            described["channels_order"] = self.channels_order
        return described


def require_recipe(recipe: object) -> None:
    """:raises ExplainError: if something else is given for a recipe; ``None`` stands for none"""
    if recipe is not None:
        require_class("recipe", recipe, EnvRecipe)


def normalize(normalizers: Mapping[str, Normalizer], observations: Any) -> Any:
    """Normalize observations, or each key of them that has statistics.

    :param normalizers: statistics by key, under ``""`` for an observation that is no dict
    :param observations: one observation or a batch (B, ...), or a dict of these by key
    :raises ExplainError: if there are no statistics of this shape
    """
    by_key = observations if isinstance(observations, dict) else {"": observations}
    if strangers := sorted(set(normalizers) - set(by_key)):
        raise ExplainError(
            f"observations of {sorted(by_key)} cannot be normalized by statistics of {strangers}"
        )
    normalized = {**by_key}
    for key, normalizer in normalizers.items():
        raw, shape = np.asarray(by_key[key]), normalizer.mean.shape
        if raw.shape[raw.ndim - len(shape) :] != shape or raw.ndim > len(shape) + 1:
            raise ExplainError(
                f"observations of shape {raw.shape} cannot be normalized by statistics of {shape}: "
                "give what VecNormalize wraps, in the environment's own layout"
            )
        normalized[key] = normalizer(raw)
    return normalized if isinstance(observations, dict) else normalized[""]


def import_wrapper(
    name: str, trusted: tuple[str, ...] = ()
) -> type[gym.Wrapper[Any, Any, Any, Any]]:
    """Import a gymnasium wrapper by its dotted name, if it is known or trusted.

    :param name: for example ``"stable_baselines3.common.atari_wrappers.AtariWrapper"``
    :param trusted: dotted names that the user trusts besides the known wrappers
    :raises ExplainError: if the wrapper is neither known nor trusted, or does not exist
    """
    module, _, attribute = name.rpartition(".")
    check_trusted(name, trusted, "the wrapper", KNOWN_WRAPPERS, module)
    try:
        wrapper = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may fail in any way when it is imported
        raise ExplainError(f"the wrapper {name!r} does not exist ({one_line(error)})") from error
    # A trusted module also holds what it imports itself: os, subprocess, pickle.
    if not (isinstance(wrapper, type) and issubclass(wrapper, gym.Wrapper)):
        raise ExplainError(
            f"{name!r} is not a gymnasium wrapper: correct env_wrapper in config.yml"
        )
    return wrapper


def begin_episode(env: gym.Env[Any, Any], seed: int) -> Any:
    """Reset an environment to an episode that depends on the seed alone.

    EpisodicLifeEnv continues the game at a reset unless the last life is lost: an episode that was
    left before its end would go on in the next one. Here the game begins anew.

    :param env: environment with all its wrappers
    :param seed: random seed of the episode
    :return: first observation of the episode
    """
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, EpisodicLifeEnv):
            layer.was_real_done = True
        layer = layer.env
    name = env.unwrapped.spec.id if env.unwrapped.spec else type(env.unwrapped).__name__
    with running_env(name, "reset"):
        return read_reset(name, env.reset(seed=seed))
