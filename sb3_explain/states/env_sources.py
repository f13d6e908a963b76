"""Where the environments come from that an agent plays in: recipes, copies, functions, VecEnvs."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_explain.agents.adopted_names import adopt_names
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.live_env import open_base
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.copying import list_layers, list_vec_layers
from sb3_explain.envs.failing import running_env
from sb3_explain.envs.frames import FrameLayout
from sb3_explain.envs.live_recipe import ModelEnv, name_env
from sb3_explain.envs.opengl import choose_renderer
from sb3_explain.envs.recipe import EnvRecipe, begin_episode
from sb3_explain.envs.render_modes import RGB, NoFramesError, find_fault, lists_rgb, try_drawing
from sb3_explain.envs.seeding import Unseeded, takes_seed, warn_if_unseeded
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.states.rollouts import ParallelEnvs, Rollouts
from sb3_explain.states.vec_rollouts import VecRollouts

logger = logging.getLogger(__name__)


class EnvSource(ABC):
    """Where the environments come from that an agent plays in.

    :param agent: agent that plays
    :param recipe: frame stack and statistics between the environments and the agent, and their name
    """

    #: the only number of parallel environments that there can be; ``None`` for any number
    n_envs: int | None = None
    #: whether RL Zoo plays with sampled actions here
    is_sampled = False

    def __init__(self, agent: Agent, recipe: EnvRecipe) -> None:
        self.agent = agent
        self.recipe = recipe

    @abstractmethod
    def open(self, n: int, *, render: bool = False, **settings: Any) -> Rollouts:
        """Open environments to play in.

        :param n: number of parallel environments
        :param render: whether their frames will be drawn
        :param settings: ``seed``, ``sampled`` and ``epsilon`` of :class:`Rollouts`
        :raises ExplainError: if they cannot be made, or do not fit the agent
        """

    def describe(self) -> dict[str, Any]:
        """Return what the environment is, as plain data."""
        return self.recipe.describe()

    def require_number(self, n: int | None) -> None:
        """Check that as many parallel environments as a user wants can be had.

        :raises ExplainError: if they cannot
        """
        if n is not None and self.n_envs is not None and n != self.n_envs:
            raise ExplainError(
                f"n_envs={n}, but {self.recipe.env_id} is played in {self.n_envs}: leave n_envs "
                "out, or give a function that makes an environment"
            )

    def choose_render(self, render: bool | None) -> bool:
        """Decide whether frames are drawn: as asked for, else where the environment can.

        :param render: what the user asks for; ``None`` for frames where there are some
        :raises ExplainError: if frames are asked for, and there are none
        """
        if render is False:
            return False
        choose_renderer()
        fault = self.find_fault()
        if not fault:
            return True
        if render:
            raise NoFramesError(fault)
        logger.warning("no frames are stored: %s", fault)
        return False

    def find_fault(self) -> str:
        """Return why no RGB frames can be drawn, and what to do; empty if they can."""
        return ""

    def _say_remedy(self, *, lists_rgb: bool, fault: str = "") -> str:
        """Return why no RGB frames are drawn, and what would draw some.

        :param lists_rgb: whether the environment says that it can draw them
        :param fault: why it does not, where that was tried
        """
        name = self.recipe.env_id
        if lists_rgb:
            return f"{name} was made without render_mode={RGB!r}: make it with that argument"
        tried = f" ({fault})" if fault else ""
        return (
            f"{name} draws no RGB frames{tried}: let its render return (h, w, 3) uint8 and its "
            f"metadata['render_modes'] list {RGB!r}"
        )


class RecipeSource(EnvSource):
    """Environments that are made by an id or a recipe."""

    def __init__(self, agent: Agent, recipe: EnvRecipe) -> None:
        super().__init__(agent, recipe)
        self.is_sampled = is_sampled_in_zoo(recipe)
        if agent.unnamed and agent.recipe is None:  # else it was asked when the agent was made
            env = recipe.make()
            adopt_names(agent, ModelEnv.of(env), recipe)
            env.close()

    def find_fault(self) -> str:
        fault = find_fault(self.recipe)
        return fault and self._say_remedy(lists_rgb=False, fault=fault)

    def open(self, n: int, *, render: bool = False, **settings: Any) -> Rollouts:
        envs = [self.recipe.make("rgb_array" if render else None) for _ in range(n)]
        layout = FrameLayout(self.recipe, envs[0].observation_space, self.agent.observation_space)
        require_same_actions(self.agent, self.recipe.env_id, envs[0].action_space)
        return ParallelEnvs(self.agent, layout, envs, **settings)


class GymSource(EnvSource):
    """Environments that are copies of a live one, or that a function of the user makes.

    :param first: the first of them, which may be played
    :param make: makes another one, told whether frames will be drawn; ``None`` if there is no other
    :param can_render: whether those that ``make`` makes can be told to draw
    """

    def __init__(
        self,
        agent: Agent,
        first: gym.Env[Any, Any],
        make: Callable[[bool], gym.Env[Any, Any]] | None,
        *,
        can_render: bool = False,
    ) -> None:
        require_same_actions(agent, name_env(first), first.action_space)
        adopt_names(agent, ModelEnv.of(first))
        super().__init__(agent, fit_recipe(agent, name_env(first), first.observation_space))
        self._first = first
        self._make = make
        self._remakes = can_render
        self.n_envs = None if make is not None else 1
        self.is_sampled = is_played_sampled(first)

    def find_fault(self) -> str:
        first, make = self._first, self._make
        if self._remakes and make is not None and not lists_rgb(first):
            fault = try_drawing(lambda: make(True))
            return fault and self._say_remedy(lists_rgb=False, fault=fault)
        drawn = self._remakes or first.render_mode == RGB
        return "" if drawn else self._say_remedy(lists_rgb=lists_rgb(first))

    def open(self, n: int, *, render: bool = False, **settings: Any) -> Rollouts:
        made: list[gym.Env[Any, Any]] = []
        if not (render and self._remakes):
            made.append(self._first)
        while len(made) < n:
            assert self._make is not None
            made.append(self._make(render))
        if len({id(env.unwrapped) for env in made}) < n:
            raise ExplainError(
                "env= returns the same environment each time: let it make a new one, or give the "
                "environment itself"
            )
        envs = [env if is_monitored(env) else Monitor(env) for env in made]
        if not takes_seed(envs[0]):
            envs = [Unseeded(env) for env in envs]
        layout = FrameLayout(self.recipe, envs[0].observation_space, self.agent.observation_space)
        warn_if_unseeded(self.recipe.env_id, lambda: begin_episode(envs[0], 0))
        is_copy = self._make is not None
        return ParallelEnvs(self.agent, layout, envs, is_copy=is_copy, **settings)

    def describe(self) -> dict[str, Any]:
        return {**self.recipe.describe(), "classes": name_classes(list_layers(self._first))}


class VecSource(EnvSource):
    """A VecEnv, which is played as it stands.

    :param env: the VecEnv
    :param is_copy: whether it was made to be played, or is the user's own
    """

    def __init__(self, agent: Agent, env: VecEnv, *, is_copy: bool) -> None:
        layers = list_vec_layers(env)
        normalized = any(isinstance(each, VecNormalize) and each.norm_obs for each in layers)
        base = layers[-1]
        inner = base.envs[0] if isinstance(base, DummyVecEnv) else None
        name = name_env(inner) if inner is not None else type(base).__name__
        require_same_actions(agent, name, env.action_space)
        adopt_names(agent, open_base(base))
        recipe = fit_recipe(agent, name, env.observation_space, normalized=normalized)
        super().__init__(agent, recipe)
        self._env = env
        self._is_copy = is_copy
        self.n_envs = env.num_envs
        self.is_sampled = inner is not None and is_played_sampled(inner)
        self._inner = inner

    def find_fault(self) -> str:
        if self._env.render_mode == RGB:
            return ""
        return self._say_remedy(lists_rgb=self._inner is None or lists_rgb(self._inner))

    def open(self, n: int, *, render: bool = False, **settings: Any) -> Rollouts:
        env = self._env
        layout = FrameLayout(self.recipe, env.observation_space, self.agent.observation_space)
        rollouts = VecRollouts(self.agent, layout, env, is_copy=self._is_copy, **settings)

        def begin() -> Any:
            env.seed(0)
            with running_env(self.recipe.env_id, "reset"):
                return env.reset()

        warn_if_unseeded(self.recipe.env_id, begin)
        return rollouts

    def describe(self) -> dict[str, Any]:
        return {**self.recipe.describe(), "classes": name_classes(list_vec_layers(self._env))}


def fit_recipe(
    agent: Agent, name: str, space: spaces.Space[Any], *, normalized: bool = False
) -> EnvRecipe:
    """What stands between a live environment and an agent: frame stack and statistics.

    :param agent: agent that plays
    :param name: name of the environment, for messages
    :param space: what the environment observes
    :param normalized: whether its observations are normalized already
    """
    given, seen = spaces_by_key(space), spaces_by_key(agent.observation_space)
    as_it_stands = all(
        key in given and fits(tuple(given[key].shape or ()), tuple(one.shape or ()))
        for key, one in seen.items()
    )
    if agent.normalizers and not normalized:
        logger.warning("observations of %s are normalized by the statistics of the agent", name)
    return EnvRecipe(
        name,
        frame_stack=1 if as_it_stands else agent.n_stack,
        normalizers={} if normalized else agent.normalizers,
    )


def require_same_actions(agent: Agent, name: str, space: spaces.Space[Any]) -> None:
    """Stop where an environment takes other actions than an agent gives; bounds may differ.

    :param agent: agent that plays
    :param name: name of the environment, for messages
    :param space: the actions that the environment takes
    :raises ExplainError: if their kind or their numbers differ
    """
    ours = agent.action_space
    same = isinstance(space, type(ours)) or isinstance(ours, type(space))
    same = same and space.shape == ours.shape
    for size in ("n", "nvec"):
        same = same and np.array_equal(getattr(space, size, 0), getattr(ours, size, 0))
    if not same:
        raise ExplainError(
            f"{name} takes actions {space}, and this agent gives {ours}: is it the right "
            "environment?"
        )


def fits(given: tuple[int, ...], seen: tuple[int, ...]) -> bool:
    """Whether observations of a shape are what a policy sees, perhaps with channels moved first."""
    return seen in (given, (given[2:] + given[:2]) if len(given) == 3 else given)


def name_classes(layers: Sequence[object]) -> list[str]:
    """Dotted names of the classes of an environment and its wrappers."""
    return [f"{type(layer).__module__}.{type(layer).__qualname__}" for layer in layers]


def is_monitored(env: gym.Env[Any, Any]) -> bool:
    """Whether an environment has SB3's Monitor, which says where a game is over."""
    return any(isinstance(layer, Monitor) for layer in list_layers(env))


def is_played_sampled(env: gym.Env[Any, Any]) -> bool:
    """Whether RL Zoo plays a live environment with sampled actions: Atari and MiniGrid."""
    is_atari = any(isinstance(layer, AtariWrapper) for layer in list_layers(env))
    return is_atari or "MiniGrid" in name_env(env)


def is_sampled_in_zoo(recipe: EnvRecipe) -> bool:
    """Check whether RL Zoo plays this environment with sampled actions: Atari and MiniGrid."""
    is_atari = any("AtariWrapper" in name for name, _ in recipe.wrappers)
    return is_atari or "MiniGrid" in recipe.env_id
