"""What the environment of a live model says of the agent: VecEnv wrappers, id, names.

Nothing is stepped or reset, and no random state is touched.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecCheckNan,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
    VecVideoRecorder,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_explain.agents.last_observations import tell_trained_normalized
from sb3_explain.agents.value_units import ValueUnits, read_discount, read_reward_scale
from sb3_explain.common.untrusted import one_line
from sb3_explain.envs.action_names import count_nameable_actions, find_action_names
from sb3_explain.envs.feature_names import accept_feature_names
from sb3_explain.envs.given_action_names import accept_action_names
from sb3_explain.envs.live_recipe import (
    ModelEnv,
    UnnamedEnvironmentError,
    name_env,
    name_environment,
)
from sb3_explain.envs.recipe import EnvRecipe, Normalizer, require_recipe
from sb3_explain.envs.spaces import spaces_by_key, stack_shape

logger = logging.getLogger(__name__)

#: wrappers that a recipe has a field for, or that do not change observations
KNOWN_WRAPPERS = (
    VecCheckNan, VecFrameStack, VecMonitor, VecNormalize, VecTransposeImage, VecVideoRecorder,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LiveEnv:
    """What the environment of a live model says of its agent.

    :param recipe: how the environment is made; ``None`` if it cannot be made again by names
    :param normalizers: copies of the statistics of VecNormalize, by key
    :param n_stack: number of frames on the first axis of an observation
    :param action_names: one name per score, if the actions have names
    :param feature_names: names of the features, if the environment has an attribute of this name
    :param unnamed: why the environment cannot be made again by names; empty if it can
    """

    recipe: EnvRecipe | None
    normalizers: dict[str, Normalizer]
    n_stack: int
    action_names: tuple[str, ...] | None
    feature_names: dict[str, tuple[str, ...]] | None
    unnamed: str


def read_details(model: BaseAlgorithm, given: dict[str, Any]) -> dict[str, Any]:
    """Read the arguments of an agent off the environment of its model, with one warning at most.

    :param model: the live model
    :param given: arguments that the user gives, which come first
    """
    require_recipe(given.get("recipe"))
    # SGQN and its baselines know how many frames their environment stacks
    own_stack = getattr(model, "n_stack", None)
    env = model.get_env()
    discount = read_discount(getattr(model, "gamma", None))
    units = {"value_units": ValueUnits(discount, read_reward_scale(env))}
    if env is None:
        if tell_trained_normalized(model) and not given.get("normalizers"):
            logger.warning(
                "this model was trained with VecNormalize, but has no environment that holds the "
                "statistics: load it with env=..., or give the agent its normalizers"
            )
        return {"n_stack": own_stack, **units, **given}
    live = read_live_env(model, env)
    recipe = given.get("recipe")
    if live.unnamed and "recipe" not in given:
        logger.info(
            "the environment of this model cannot be made again by names (%s): copies of it are "
            "played, unless you give recipe=...",
            live.unnamed,
        )
    unnormalized = recipe is not None and not recipe.normalizers
    if unnormalized and live.normalizers and "normalizers" not in given:
        logger.warning("the recipe has no statistics: those of the model's VecNormalize are used")
    details = {
        "recipe": live.recipe,
        "normalizers": live.normalizers,
        # a recipe that the user gives says how many frames it stacks
        "n_stack": own_stack or (live.n_stack if recipe is None else None),
        "action_names": live.action_names,
        "feature_names": live.feature_names,
    }
    return {**details, **units, **given}


def read_live_env(model: BaseAlgorithm, env: VecEnv) -> LiveEnv:
    """Read what the environment of a live model says of its agent.

    :param model: the live model
    :param env: its environment
    """
    layers, base = [], env
    while isinstance(base, VecEnvWrapper):
        layers.append(base)
        base = base.venv
    normalizing = [layer for layer in layers if isinstance(layer, VecNormalize) and layer.norm_obs]
    stacking = [layer for layer in layers if isinstance(layer, VecFrameStack)]
    strangers = [type(layer).__name__ for layer in layers if not isinstance(layer, KNOWN_WRAPPERS)]
    normalizers = copy_statistics(normalizing[0]) if normalizing else {}
    inner = open_base(base)
    recipe, unnamed = None, ""
    try:
        if strangers:
            raise UnnamedEnvironmentError(f"{strangers[0]} stands around it")
        if len(normalizing) > 1 or len(stacking) > 1:
            raise UnnamedEnvironmentError("VecNormalize or VecFrameStack stands around it twice")
        if inner is None:
            raise UnnamedEnvironmentError(f"its {type(base).__name__} cannot be asked")
        recipe = dataclasses.replace(
            name_environment(inner),
            frame_stack=stacking[0].stacked_obs.n_stack if stacking else 1,
            normalizers=normalizers,
            channels_order=find_channels_order(stacking[0]) if stacking else None,
        )
    except UnnamedEnvironmentError as error:
        unnamed = str(error)
    except Exception as error:  # the environment is the user's code, and may raise anything
        unnamed = one_line(error)
    n_stack = count_frames(model, stacking[0]) if stacking else 1
    return LiveEnv(
        recipe,
        normalizers,
        n_stack,
        find_names(model.action_space, inner, recipe),
        find_features(model.observation_space, inner, n_stack),
        unnamed,
    )


def open_base(base: VecEnv) -> ModelEnv | None:
    """The first of the parallel environments, if it can be asked without waiting for it."""
    if isinstance(base, DummyVecEnv):
        return ModelEnv.of(base.envs[0])
    if isinstance(base, SubprocVecEnv):
        # a worker answers at once while it waits for commands, and never when it is gone
        idle = not base.closed and not base.waiting and base.processes[0].is_alive()
        return ModelEnv.of_worker(base) if idle else None
    return None


def name_live_env(env: VecEnv | None) -> str | None:
    """The name of a live environment, as far as it can be told in this process."""
    base = env.unwrapped if env is not None else None
    return name_env(base.envs[0]) if isinstance(base, DummyVecEnv) else None


def copy_statistics(env: VecNormalize) -> dict[str, Normalizer]:
    """Copy the statistics of VecNormalize as they are now, by key."""
    by_key = env.obs_rms if isinstance(env.obs_rms, dict) else {"": env.obs_rms}
    return {
        key: Normalizer(
            np.array(by_key[key].mean), np.array(by_key[key].var), env.epsilon, env.clip_obs
        )
        for key in (env.norm_obs_keys or by_key)
    }


def find_channels_order(env: VecFrameStack) -> str | dict[str, str] | None:
    """The order of channels with which VecFrameStack was made; ``None`` if it found it itself."""
    by_key = getattr(env.stacked_obs, "sub_stacked_observations", {"": env.stacked_obs})
    spaces_of = spaces_by_key(env.venv.observation_space)
    found = {key: part.channels_first for key, part in by_key.items()}
    usual = {
        key: StackedObservations.compute_stacking(part.n_stack, spaces_of[key])[0]  # type: ignore[arg-type]
        for key, part in by_key.items()
    }
    # On the one axis of a vector, first is last.
    if all(found[key] == usual[key] or len(spaces_of[key].shape or ()) == 1 for key in found):
        return None
    orders = {key: "first" if first else "last" for key, first in found.items()}
    return orders.get("", orders)


def count_frames(model: BaseAlgorithm, env: VecFrameStack) -> int:
    """Number of frames on the first axis of an observation; 1 if they are on another axis."""
    n_stack, seen = env.stacked_obs.n_stack, spaces_by_key(model.observation_space)
    for key, space in spaces_by_key(env.venv.observation_space).items():
        shape = tuple(space.shape or ())
        frames = [shape] + ([(shape[2], *shape[:2])] if len(shape) == 3 else [])
        if seen[key].shape not in [stack_shape(frame, n_stack) for frame in frames]:
            return 1
    return n_stack


def find_names(
    space: spaces.Space[Any], env: ModelEnv | None, recipe: EnvRecipe | None
) -> tuple[str, ...] | None:
    """Find the names of actions, if the environment has some or is one of which they are known.

    :param space: action space of the agent
    :param env: the environment; ``None`` if it cannot be asked
    :param recipe: how it is made, if that is known
    """
    if env is not None and env.env is None:  # in another process
        own = accept_action_names(env.ask("action_names"), space)
        if own is not None:
            return own
        meanings = tuple(map(str, env.call("get_action_meanings") or ()))
        if len(meanings) == count_nameable_actions(space):
            return meanings
    return find_action_names(
        recipe.env_id if recipe is not None else "", space, env.env if env is not None else None
    )


def find_features(
    space: spaces.Space[Any], env: ModelEnv | None, n_stack: int
) -> dict[str, tuple[str, ...]] | None:
    """Find the names of features, if the environment has as many as the policy sees.

    :param space: observation space of the policy
    :param env: the environment; ``None`` if it cannot be asked
    :param n_stack: number of frames stacked in an observation
    """
    names = env.ask("feature_names") if env is not None else None
    return accept_feature_names(names, space, n_stack)
