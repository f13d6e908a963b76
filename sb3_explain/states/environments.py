"""Find the environments that an agent plays in: whatever a user gives as ``env=``.

An id, a recipe, a live Gymnasium environment, a function that makes one, or a VecEnv; without any,
the agent's own. The user's own environments stay as they are: copies of them are played.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnv

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line
from sb3_explain.envs.copying import NotCopiedError, copy_env, copy_vec_env, list_vec_layers
from sb3_explain.envs.live_recipe import name_env
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.states.env_sources import (
    EnvSource,
    GymSource,
    RecipeSource,
    VecSource,
)
from sb3_explain.states.rollouts import Rollouts

#: probability of a random action with which RL Zoo plays DQN and QR-DQN agents on Atari
ZOO_EPSILON = 0.01

#: what may be given as ``env=``
AnyEnv: TypeAlias = (
    str | EnvRecipe | gym.Env[Any, Any] | VecEnv | Callable[[], gym.Env[Any, Any] | VecEnv]
)
WAYS = "give a gymnasium id, an EnvRecipe, an environment, a function that makes one, or a VecEnv"

logger = logging.getLogger(__name__)


def find_source(agent: Agent, env: AnyEnv | EnvSource | None) -> EnvSource:
    """Find where the environments come from in which an agent plays.

    :param agent: agent that plays
    :param env: what the user gives, or what was found of it before; the agent's own environment
        when not given
    :raises ExplainError: if there is none, or what is given is none
    """
    if isinstance(env, EnvSource):
        return env
    if env is None and agent.recipe is None and agent.vec_env is not None:
        try:
            return VecSource(agent, copy_vec_env(agent.vec_env), is_copy=True)
        except NotCopiedError as error:
            raise ExplainError(
                f"the environment of this agent's model can neither be made again nor copied "
                f"({error}): name one with env=..., which may be the model's own"
            ) from error
    if env is None or isinstance(env, str | EnvRecipe):
        return RecipeSource(agent, find_recipe(agent, env))
    if isinstance(env, VecEnv):
        return find_vec_source(agent, env)
    if isinstance(env, gym.Env):
        return find_gym_source(agent, env)
    if isinstance(env, int):
        raise ExplainError(f"env={env} is no environment: name the number, such as n_states={env}")
    kind = env if isinstance(env, type) else type(env)
    if not callable(env) or (kind is env and not issubclass(kind, gym.Env | VecEnv)):
        raise ExplainError(f"env={kind.__name__} is no environment: {WAYS}")
    return find_made_source(agent, env)


def find_gym_source(agent: Agent, env: gym.Env[Any, Any]) -> EnvSource:
    """Copy a live environment; where that fails it is played itself, alone, with a warning."""
    try:
        return GymSource(agent, copy_env(env), lambda _: copy_env(env))
    except NotCopiedError as error:
        logger.warning(
            "%s cannot be copied (%s): it is played itself, alone, and stands elsewhere afterwards",
            name_env(env),
            error,
        )
        return GymSource(agent, env, None)


def find_vec_source(agent: Agent, env: VecEnv) -> EnvSource:
    """Copy a VecEnv; where that fails it is played itself, with a warning."""
    base = list_vec_layers(env)[-1]
    if getattr(base, "closed", False):
        raise ExplainError(f"this {type(base).__name__} is closed: make it again")
    try:
        return VecSource(agent, copy_vec_env(env), is_copy=True)
    except NotCopiedError as error:
        logger.warning(
            "this VecEnv cannot be copied (%s): it is played itself, and stands elsewhere "
            "afterwards; its wrappers are put back as they were",
            error,
        )
        return VecSource(agent, env, is_copy=False)


def find_made_source(agent: Agent, make: Callable[..., Any]) -> EnvSource:
    """Call a function or class that makes environments, and find out what it makes."""
    takes_mode = "render_mode" in inspect.signature(make).parameters

    def call(render: bool = False) -> Any:
        try:
            return make(render_mode="rgb_array") if render and takes_mode else make()
        except Exception as error:  # the user's code may fail in any way
            name = getattr(make, "__name__", type(make).__name__)
            raise ExplainError(f"env={name} makes no environment ({one_line(error)})") from error

    first = call()
    if isinstance(first, VecEnv):
        return VecSource(agent, first, is_copy=True)
    if not isinstance(first, gym.Env):
        name = getattr(make, "__name__", type(make).__name__)
        raise ExplainError(f"env={name} returns {type(first).__name__}, no environment: {WAYS}")
    return GymSource(agent, first, call, can_render=takes_mode)


def find_recipe(agent: Agent, env: str | EnvRecipe | None) -> EnvRecipe:
    """Find the recipe of the environments that an agent plays in.

    An agent that was trained with normalized observations sees normalized ones there too.

    :param agent: agent that plays
    :param env: Gymnasium id or recipe of the environment; the agent's own when not given
    :raises ExplainError: if no environment is given and the agent knows none
    """
    own = agent.recipe
    if env is None or (isinstance(env, str) and own is not None and env == own.env_id):
        if own is None:
            raise ExplainError("this agent knows no environment: name one with env=...")
        return own
    recipe = EnvRecipe(env, frame_stack=agent.n_stack) if isinstance(env, str) else env
    if agent.normalizers and not recipe.normalizers:
        logger.warning(
            "observations of %s are normalized by the statistics of the agent", recipe.env_id
        )
        recipe = dataclasses.replace(recipe, normalizers=agent.normalizers)
    return recipe


def open_parallel_envs(
    agent: Agent,
    n: int,
    *,
    env: AnyEnv | None = None,
    deterministic: bool | None = None,
    seed: int = 0,
    render: bool = False,
) -> Rollouts:
    """Open environments in which the agent plays as in RL Zoo.

    :param agent: agent that plays
    :param n: number of environments, where they can be made; a VecEnv has its own
    :param env: the environment, as :func:`sb3_explain.collect` takes it; the agent's own when not
        given
    :param deterministic: whether actions are greedy; otherwise they are sampled or, for an agent of
        Q-values, random with probability 0.01. When not given, they are greedy except on Atari and
        MiniGrid, as in RL Zoo
    :param seed: random seed of the environments and actions
    :param render: whether frames will be drawn
    :raises ExplainError: if the environment is unknown
    """
    source = find_source(agent, env)
    sampled = source.is_sampled if deterministic is None else not deterministic
    randomly = sampled and agent.view.value_based
    return source.open(
        source.n_envs or n,
        render=render,
        seed=seed,
        sampled=sampled and not randomly,
        epsilon=ZOO_EPSILON if randomly else 0.0,
    )
