"""Observation spaces of policies, and observations by key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


#: orders in which SB3's wrappers can stand around an environment, innermost first: VecNormalize
#: (n), VecFrameStack (s), VecTransposeImage (t). A normalized image is transposed no more
ORDERS = ("nst", "snt", "tns", "tsn")


def require_space(name: str, space: object) -> None:
    """Stop where something else is given for a space, such as a shape, or a space of the old gym.

    :param name: name of the argument
    :param space: what was given for it
    :raises ExplainError: if it is no space of gymnasium
    """
    if not isinstance(space, spaces.Space):
        kind = type(space)
        raise ExplainError(
            f"{name} must be a space of gymnasium, not {kind.__module__}.{kind.__qualname__}: "
            "give env.observation_space, env.action_space, or gymnasium.spaces.Box(...)"
        )


def policy_space(space: Space, recipe: EnvRecipe) -> Space:
    """The policy's space after VecNormalize, VecFrameStack and VecTransposeImage.

    The shape of the statistics says what VecNormalize normalizes: single frames or whole stacks,
    and whether images were transposed before.

    :param space: observation space of the environment with its wrappers
    :param recipe: recipe with the statistics of VecNormalize and the number of stacked frames
    :raises ExplainError: if the statistics or the stack do not fit the space
    """
    by_key = spaces_by_key(space)
    check_keys(recipe.normalizers, by_key, recipe.env_id)
    seen = {key: _policy_space(observed, key, recipe) for key, observed in by_key.items()}
    # pairs keep the order of the keys, in which the policy concatenates them
    return spaces.Dict(list(seen.items())) if isinstance(space, spaces.Dict) else seen[SINGLE]


def check_keys(normalizers: Mapping[str, Normalizer], by_key: Collection[str], who: str) -> None:
    """Check that all statistics are of keys that are observed.

    :param normalizers: statistics by key
    :param by_key: keys of the observation; :data:`SINGLE` of one that is no dict
    :param who: who observes them, for the error message
    :raises ExplainError: if there are statistics of another key
    """
    if strangers := set(normalizers) - set(by_key):
        theirs = "an observation that is no dict" if strangers == {SINGLE} else sorted(strangers)
        ours = "no dict" if set(by_key) == {SINGLE} else sorted(by_key)
        raise ExplainError(
            f"{who} observes {ours}, but the statistics are of {theirs}: is it the right "
            "environment? (vec_normalize=False leaves them out)"
        )


def _policy_space(space: Space, key: str, recipe: EnvRecipe) -> Space:
    if recipe.frame_stack > 1 and not isinstance(space, spaces.Box):
        raise ExplainError(
            f"{recipe.env_id} gives {type(space).__name__} observations, which cannot be "
            "stacked: correct frame_stack in config.yml"
        )
    for order in ORDERS:
        seen = _wrapped_space(space, order, key, recipe)
        if seen is not None:
            return seen
    shape = recipe.normalizers[key].mean.shape
    raise ExplainError(
        f"the statistics of shape {shape} do not fit {recipe.env_id}, which gives observations "
        f"{space.shape}{_stacks_of(recipe.frame_stack)}: is it the right environment?"
        f"{_guess_stack(shape, space.shape or (), recipe.frame_stack)} "
        "(vec_normalize=False leaves them out)"
    )


def _wrapped_space(space: Space, order: str, key: str, recipe: EnvRecipe) -> Space | None:
    """The space behind wrappers in this order; ``None`` if the statistics do not fit there."""
    normalizer = recipe.normalizers.get(key)
    for wrapper in order:
        if wrapper == "n" and normalizer is not None:
            if normalizer.mean.shape != space.shape:
                return None
            if is_image_space(space):
                # A normalised image is no image any more: VecNormalize changes these spaces alone.
                bound = normalizer.clip
                space = spaces.Box(-bound, bound, shape=space.shape, dtype=np.float32)
        if wrapper == "s" and recipe.frame_stack > 1 and isinstance(space, spaces.Box):
            channels = recipe.channels_order
            channels = channels.get(key) if isinstance(channels, Mapping) else channels
            stacked = StackedObservations(1, recipe.frame_stack, space, channels)
            space = stacked.stacked_observation_space
        if (
            wrapper == "t"
            and isinstance(space, spaces.Box)
            and is_image_space(space)
            and not is_image_space_channels_first(space)
        ):
            space = VecTransposeImage.transpose_space(space)
    return space


def _stacks_of(n_stack: int) -> str:
    return f" (x {n_stack} stacked)" if n_stack > 1 else ""


def _guess_stack(stacked: tuple[int, ...], frame: tuple[int, ...], n_stack: int) -> str:
    """A hint, if statistics are of several frames where one is expected."""
    for axis in range(len(frame)) if n_stack == 1 and len(stacked) == len(frame) else ():
        n, rest = divmod(stacked[axis], max(frame[axis], 1))
        if n > 1 and not rest and stack_shape(frame, n, axis) == stacked:
            return f" They would fit {n} stacked frames: give a recipe with frame_stack={n}."
    return ""


def stack_shape(shape: tuple[int, ...], n_stack: int, axis: int = 0) -> tuple[int, ...]:
    """Shape of ``n_stack`` frames of one shape, side by side on one axis."""
    if n_stack == 1:
        return shape
    return (*shape[:axis], shape[axis] * n_stack, *shape[axis + 1 :])


def spaces_by_key(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The keys of a Dict space; any other space under :data:`SINGLE`."""
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {SINGLE: space}


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of a picture, in the form in which explainers see observations.

    There a picture is (C, H, W), and all else has fewer axes: see ``agent.layout``.
    """
    return len(shape) == 3


def are_images(observed: Tensor) -> bool:
    """Whether what stands under a key of a ``StateBatch`` is pictures (B, C, H, W)."""
    return observed.dim() == 4


def split_keys(observations: Observations) -> dict[str, Tensor]:
    """Observations (or their attributions) by key; a single tensor under :data:`SINGLE`."""
    return observations if isinstance(observations, dict) else {SINGLE: observations}


def join_keys(by_key: dict[str, Tensor]) -> Observations:
    """The same the other way: a tensor, or a dict, as the agent observes them."""
    return by_key.get(SINGLE, by_key)
