"""Later versions that stand in for environments that are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium import spaces
from gymnasium.envs.registration import get_env_id, parse_env_id

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.registered import has_moved, is_registered, make

Space = spaces.Space[Any]


class Adaptation(NamedTuple):
    """What makes a later version observe what the earlier one did.

    :param kwargs: arguments of the later version
    :param wrappers: dotted name and arguments of each wrapper, innermost first
    :param note: the same in words
    """

    kwargs: dict[str, Any]
    wrappers: tuple[tuple[str, dict[str, Any]], ...]
    note: str


UNCHANGED = Adaptation({}, (), "")
#: adaptations by the earlier and the later id
ADAPTATIONS = {
    (earlier, "Ant-v4"): Adaptation(
        {"use_contact_forces": True},
        (("sb3_explain.envs.wrappers.ZeroContactForces", {}),),
        "with use_contact_forces=True and all contact forces 0, as the old MuJoCo gave them",
    )
    for earlier in ("Ant-v2", "Ant-v3")
}


def current_id(
    env_id: str,
    observation_space: Space | None = None,
    read_space: Callable[[str], Space] | None = None,
) -> str:
    """The id that gymnasium has for an environment now, which is a later version if the id is gone.

    Of several later versions it is the nearest that can be made and whose observations have the
    shape of those that the agent was trained with, or, where none has, the nearest that can be
    made.

    >>> current_id("LunarLander-v2"), current_id("HalfCheetah-v3")
    ('LunarLander-v3', 'HalfCheetah-v4')

    :param env_id: id under which the agent was trained; a module may stand before it
        (``"gymnasium_robotics:FetchReach-v1"``)
    :param observation_space: observation space of the agent, if it is known
    :param read_space: returns the space to compare with it, of a later version by its id; that of
        the bare environment when not given
    """
    module, colon, name = env_id.rpartition(":")
    if is_registered(name) and not has_moved(name):
        return env_id
    later = [f"{module}{colon}{candidate}" for candidate in _find_later(name)]
    if len(later) < 2:
        return next(iter(later), env_id)
    can_be_made = []
    for candidate in later:
        try:
            space = (read_space or _read_bare_space)(candidate)
        except ExplainError:
            continue
        if observation_space is None or have_same_shape(space, observation_space):
            return candidate
        can_be_made.append(candidate)
    return next(iter(can_be_made), later[0])


def have_same_shape(space: Space, other: Space) -> bool:
    """Whether observations of two spaces have the same keys and shapes, or number of values."""
    if isinstance(space, spaces.Dict) and isinstance(other, spaces.Dict):
        return space.spaces.keys() == other.spaces.keys() and all(
            have_same_shape(space[key], other[key]) for key in space.spaces
        )
    if isinstance(space, spaces.Discrete) and isinstance(other, spaces.Discrete):
        return bool(space.n == other.n)
    return type(space) is type(other) and space.shape == other.shape


def _find_later(env_id: str) -> list[str]:
    """Later versions of an environment, the nearest first."""
    # A later version may stand in for an earlier one, not the other way round.
    try:
        namespace, name, version = parse_env_id(env_id)
    except gym.error.Error:
        return []
    versions = {
        spec.version
        for spec in gym.registry.values()
        if (spec.namespace, spec.name) == (namespace, name) and spec.version is not None
    }
    later = sorted(other for other in versions if version is not None and other > version)
    ids = [get_env_id(namespace, name, other) for other in later]
    return [other for other in ids if not has_moved(other)]


def _read_bare_space(env_id: str) -> Space:
    env = make(env_id)
    env.close()
    return env.observation_space
