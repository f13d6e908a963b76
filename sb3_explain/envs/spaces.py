"""Observation spaces of policies, and observations by key."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import VecTransposeImage
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe, Normalizer

#: the key under which an observation that is no dict stands
SINGLE = ""
Observations = Tensor | dict[str, Tensor]

Space = spaces.Space[Any]


def policy_space(space: Space, recipe: EnvRecipe) -> Space:
    """The policy's space after VecNormalize, VecFrameStack and VecTransposeImage, in this order.

    :param space: observation space of the environment with its wrappers
    :param recipe: recipe with the statistics of VecNormalize and the number of stacked frames
    :raises ExplainError: if the statistics or the stack do not fit the space
    """
    if isinstance(space, spaces.Dict):
        strangers = set(recipe.normalizers) - set(space.spaces)
        if strangers:
            raise ExplainError(
                f"{recipe.env_id} observes {sorted(space.spaces)}, but the statistics are of "
                f"{sorted(strangers)}: is it the right environment?"
            )
        return spaces.Dict(
            {
                key: _policy_space(observed, recipe.normalizers.get(key), recipe)
                for key, observed in space.items()
            }
        )
    return _policy_space(space, recipe.normalizers.get(""), recipe)


def _policy_space(space: Space, normalizer: Normalizer | None, recipe: EnvRecipe) -> Space:
    if normalizer is not None:
        if normalizer.mean.shape != space.shape:
            raise ExplainError(
                f"the statistics of shape {normalizer.mean.shape} do not fit {recipe.env_id}, "
                f"which gives observations {space.shape}: is it the right environment?"
            )
        if is_image_space(space):
            # A normalised image is no image any more: VecNormalize changes these spaces alone.
            bound = normalizer.clip
            space = spaces.Box(-bound, bound, shape=space.shape, dtype=np.float32)
    if recipe.frame_stack > 1:
        if not isinstance(space, spaces.Box):
            raise ExplainError(
                f"{recipe.env_id} gives {type(space).__name__} observations, which cannot be "
                "stacked: correct frame_stack in config.yml"
            )
        space = StackedObservations(1, recipe.frame_stack, space).stacked_observation_space
    if (
        isinstance(space, spaces.Box)
        and is_image_space(space)
        and not is_image_space_channels_first(space)
    ):
        space = VecTransposeImage.transpose_space(space)
    return space


def spaces_by_key(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The keys of a Dict space; any other space under :data:`SINGLE`."""
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {SINGLE: space}


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether what stands under a key is a picture (C, H, W)."""
    return is_image_shape(space.shape or ())


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of a picture (C, H, W)."""
    return len(shape) == 3


def are_images(observed: Tensor) -> bool:
    """Whether what stands under a key of B states is pictures (B, C, H, W)."""
    return observed.dim() == 4


def split_keys(observations: Observations) -> dict[str, Tensor]:
    """Observations (or their attributions) by key; a single tensor under :data:`SINGLE`."""
    return observations if isinstance(observations, dict) else {SINGLE: observations}


def join_keys(by_key: dict[str, Tensor]) -> Observations:
    """The same the other way: a tensor, or a dict, as the agent observes them."""
    return by_key.get(SINGLE, by_key)
