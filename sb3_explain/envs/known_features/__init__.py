"""Names of the features of well-known environments, by their documented observation spaces."""

from __future__ import annotations

import math
from typing import Any

from gymnasium import spaces

from sb3_explain.envs.known_features import atari_ram, box2d, classic, dm_control, highway, mujoco
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.spaces import spaces_by_key

#: wrappers under which every feature keeps its place and its meaning
KEEPING = frozenset(
    (
        "ActionMasker",
        "ActionNoiseWrapper",
        "ActionSmoothingWrapper",
        "Autoreset",
        "ClipAction",
        "ClipReward",
        "ClipRewardEnv",
        "DelayedRewardWrapper",
        "DelayObservation",
        "DiscretizeAction",
        "DtypeObservation",
        "EpisodicLifeEnv",
        "FireResetEnv",
        "FlattenObservation",
        "FrameSkip",
        "MaskVelocityWrapper",
        "MaxAndSkipEnv",
        "MaxAndSkipObservation",
        "Monitor",
        "NoopResetEnv",
        "NormalizeObservation",
        "NormalizeReward",
        "OrderEnforcing",
        "PassiveEnvChecker",
        "RecordEpisodeStatistics",
        "RepeatAction",
        "RescaleAction",
        "RescaleObservation",
        "StickyAction",
        "StickyActionEnv",
        "TimeLimit",
        "TruncatedOnSuccessWrapper",
        "ZeroContactForces",
    )
)
#: wrappers that append one feature, and its name
APPENDED = {"TimeFeatureWrapper": "time left", "TimeAwareObservation": "time"}


def find_known_features(
    recipe: EnvRecipe, space: spaces.Space[Any], n_stack: int = 1
) -> dict[str, tuple[str, ...]]:
    """Name the features of a frame, by key of the observation, as far as they are known.

    >>> from sb3_explain import EnvRecipe
    >>> from sb3_explain.envs.known_features import find_known_features
    >>> find_known_features(EnvRecipe("Pendulum-v1"), gym.make("Pendulum-v1").observation_space)
    {'': ('cos(angle)', 'sin(angle)', 'angular velocity')}

    Where a wrapper may have moved or changed features, and where their number is another one than
    documented, there are no names: numbers are better than wrong names.

    :param recipe: how the environment is made
    :param space: observation space of the policy
    :param n_stack: number of frames stacked on the first axis of an observation
    """
    wrappers = [name.rpartition(".")[2] for name, _ in recipe.wrappers]
    if not set(wrappers) <= KEEPING | APPENDED.keys():
        return {}
    appended = tuple(APPENDED[name] for name in wrappers if name in APPENDED)
    found = {}
    for key, observed in spaces_by_key(space).items():
        shape = tuple(observed.shape or ())
        n = math.prod(shape)
        if n % n_stack:
            continue
        named = _find_names(recipe, key, shape, n // n_stack - len(appended))
        if named:
            found[key] = (*named, *appended)
    return found


def _find_names(
    recipe: EnvRecipe, key: str, shape: tuple[int, ...], n_features: int
) -> tuple[str, ...]:
    """Names of the features of one key; empty where they are not known."""
    path = recipe.env_id.rpartition("-v")[0] or recipe.env_id
    namespace, _, name = path.rpartition("/")
    if namespace == dm_control.NAMESPACE:
        return dm_control.name_features(name, key, n_features)
    if n_features == highway.count_features(shape):
        named = highway.name_features(recipe, name, key, shape)
        if named:
            return named
    if key:  # the others observe one vector
        return ()
    if len(shape) == 1 and n_features == atari_ram.N_BYTES:
        return atari_ram.name_bytes(name)
    documented = (*classic.FEATURES.get(name, ()), *box2d.FEATURES.get(name, ()))
    for variant in (documented, *mujoco.list_variants(name)):
        if len(variant) == n_features:
            return variant
    return ()
