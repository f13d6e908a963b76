"""The spaces of a policy: what its file says, compared with the user's and the environment's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from sb3_explain.agents.loading.compare_spaces import Source, merge_spaces
from sb3_explain.agents.loading.saved_spaces import quote_attributes, read_space
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.action_names import find_action_names
from sb3_explain.envs.feature_names import FeatureNames
from sb3_explain.envs.live_recipe import ModelEnv
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.registered import MissingEnvironmentError
from sb3_explain.envs.spaces import policy_space

logger = logging.getLogger(__name__)

Space = spaces.Space[Any]

NAMES = ("observation_space", "action_space")


class PolicySpaces(NamedTuple):
    """The spaces of a policy.

    :param observation_space: what the policy observes, stacked and channel-first
    :param action_space: action space
    :param action_names: one name per score, if the environment has them
    :param feature_names: what the environment has in an attribute of this name
    :param notes: what differs between the file and the environment without effect on the policy
    """

    observation_space: Space
    action_space: Space
    action_names: tuple[str, ...] | None
    feature_names: FeatureNames | None
    notes: list[str]


def find_spaces(
    data: Mapping[str, Any],
    recipe: EnvRecipe | None,
    observation_space: Space | None,
    action_space: Space | None,
) -> PolicySpaces:
    """The spaces of a policy, from the user, its file and its environment.

    An environment that cannot be made here is warned of, if the spaces are known without it.

    :param data: content of ``data`` in the model's zip
    :param recipe: how the environment is made, if known
    :param observation_space: the user's word, if given
    :param action_space: the user's word, if given
    :raises ExplainError: if the spaces are not known, or contradict each other
    """
    saved = [read_space(data.get(name)) for name in NAMES]
    found: list[Space | None] = []
    notes: list[str] = []
    for name, space, known in zip(NAMES, (observation_space, action_space), saved, strict=True):
        if space is None:
            found.append(known)
            continue
        advice = f"leave {name} out, or give what the policy was trained with"
        source = Source(f"{name} is", advice, strict=name == "action_space")
        merged, more = merge_spaces(known, space, source)
        found.append(merged)
        notes += more
    observed, acted = found
    names, features = None, None
    if recipe is None:
        _require(observed, acted, data)
    elif observation_space is None or action_space is None:
        try:
            by_env, names, features = _read_environment(recipe, found)
        except MissingEnvironmentError as error:
            if observed is None or acted is None:
                _require(observed, acted, data, f"{error}; or ")
            notes.append(f"the agent is loaded, but its environment cannot be made: {error}")
        else:
            given = (observation_space, action_space)
            observed, acted = (
                _merge_environment(recipe, name, known, of_env, notes) if said is None else known
                for name, said, known, of_env in zip(NAMES, given, found, by_env, strict=True)
            )
    assert observed is not None and acted is not None
    for note in notes:
        logger.warning("%s", note)
    return PolicySpaces(observed, acted, names, features, notes)


def _require(
    observed: Space | None, acted: Space | None, data: Mapping[str, Any], instead: str = ""
) -> None:
    """Ask for the spaces that are not known, with what the file says of them."""
    missing = [n for n, space in zip(NAMES, (observed, acted), strict=True) if space is None]
    if missing:
        said = "; ".join(quote_attributes(data.get(name)) for name in missing)
        raise ExplainError(
            f"{instead}give the environment's gymnasium id, a recipe, or "
            f"{' and '.join(f'{name}=...' for name in missing)} (this file says: {said})"
        )


def _read_environment(
    recipe: EnvRecipe, known: list[Space | None]
) -> tuple[tuple[Space, Space], tuple[str, ...] | None, FeatureNames | None]:
    """Both spaces of an environment, the names of its actions, and its ``feature_names``."""
    env = recipe.make()
    try:
        by_env = policy_space(env.observation_space, recipe), env.action_space
        names = find_action_names(recipe.env_id, known[1] or by_env[1], env)
        return by_env, names, ModelEnv.of(env).ask("feature_names")
    finally:
        env.close()


def _merge_environment(
    recipe: EnvRecipe, name: str, known: Space | None, by_env: Space, notes: list[str]
) -> Space:
    observes = name == "observation_space"
    advice = _advise(known, by_env) if observes else "is it the right environment?"
    verb = "observes" if observes else "takes actions"
    space, more = merge_spaces(known, by_env, Source(f"{recipe.env_id} {verb}", advice))
    notes += more
    return space


def _advise(saved: Space | None, given: Space) -> str:
    """What may be missing between an environment and the policy's observations."""
    if not (isinstance(saved, spaces.Box) and isinstance(given, spaces.Box)):
        return "is it the right environment? Its wrappers are given by recipe=..."
    if saved.shape == given.shape and is_image_space(given):
        return (
            "if VecNormalize normalized them, give its statistics (vec_normalize=...), else the "
            "wrappers (recipe=...)"
        )
    times, rest = divmod(int(np.prod(saved.shape)), max(int(np.prod(given.shape)), 1))
    if rest == 0 and 1 < times <= 64 and len(saved.shape) == len(given.shape):
        return f"recipe=EnvRecipe(..., frame_stack={times}) says that {times} frames are stacked"
    return "is it the right environment? Its wrappers and frame stack are given by recipe=..."
