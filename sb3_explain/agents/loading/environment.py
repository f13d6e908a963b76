"""Turn the zoo's configuration of a run into the recipe of its environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces

from sb3_explain.agents.loading.expressions import read_expression
from sb3_explain.agents.loading.pickled_statistics import read_statistics
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.known_wrappers import check_arguments
from sb3_explain.envs.recipe import EnvRecipe, Normalizer
from sb3_explain.envs.registered import register_environments
from sb3_explain.envs.spaces import policy_space
from sb3_explain.envs.untrusted_kwargs import check_env_kwargs
from sb3_explain.envs.versions import ADAPTATIONS, UNCHANGED, current_id

Space = spaces.Space[Any]

#: names, or beginnings of names, of wrappers in older configurations, and today's
MOVED = {
    "gym.": "gymnasium.",
    "gym_minigrid.": "minigrid.",
    "utils.wrappers.": "rl_zoo3.wrappers.",
    "rl_zoo3.wrappers.DoneOnSuccessWrapper": "rl_zoo3.wrappers.TruncatedOnSuccessWrapper",
    "rl_zoo3.wrappers.TimeFeatureWrapper": "sb3_contrib.common.wrappers.TimeFeatureWrapper",
    "gymnasium.wrappers.gray_scale_observation.": "gymnasium.wrappers.",
    "gymnasium.wrappers.resize_observation.": "gymnasium.wrappers.",
    "gymnasium.wrappers.time_limit.": "gymnasium.wrappers.",
    "gymnasium.wrappers.GrayScaleObservation": "gymnasium.wrappers.GrayscaleObservation",
}
DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
NORMALIZES_ANEW = "gymnasium.wrappers.NormalizeObservation"
FRAME_STACKERS = (
    "stable_baselines3.common.vec_env.VecFrameStack",
    "stable_baselines3.common.vec_env.vec_frame_stack.VecFrameStack",
)


def read_recipe(
    env_id: str,
    config: Mapping[str, Any],
    args: Mapping[str, Any],
    env_kwargs: Mapping[str, Any],
    normalizers: dict[str, Normalizer],
    trusted: tuple[str, ...],
    *,
    own_kwargs: Mapping[str, Any] | None = None,
    own_packages: tuple[str, ...] = (),
    observation_space: Space | None = None,
) -> tuple[EnvRecipe, list[str]]:
    """The recipe of a run's environment, and notes on what had to be changed.

    :param env_id: gymnasium id under which the agent was trained
    :param config: content of ``config.yml``
    :param args: content of ``args.yml``
    :param env_kwargs: content of ``env_kwargs.yml``, which overrides what the other two say
    :param normalizers: statistics as :func:`read_normalizers` returns them
    :param trusted: dotted names of further packages, modules, wrappers and arguments
    :param own_kwargs: arguments of the environment that the user gives, which override the files'
    :param own_packages: modules of environments that the user names, which are imported by now
    :param observation_space: what the policy observes, if it is known: it decides which later
        version stands in for an environment that is gone
    :raises ExplainError: if the configuration is malformed, or names what is not trusted
    """
    packages = _read_names(args.get("gym_packages") or [], "gym_packages in args.yml")
    register_environments(env_id, packages, trusted)
    packages = (*own_packages, *packages)
    notes = []
    wrappers = read_wrappers(config.get("env_wrapper"))
    for name, kwargs in wrappers:
        check_arguments(name, kwargs, trusted)
        if name == NORMALIZES_ANEW:
            notes.append(
                f"the statistics of {name} are in no file, and begin anew: the agent sees other "
                "numbers than in training, unless recipe=EnvRecipe(..., normalizers=...) has them"
            )
    stack = _read_frame_stack(config.get("frame_stack"))
    around = read_wrappers(config.get("vec_env_wrapper"))
    for name, kwargs in around:
        if name not in FRAME_STACKERS:
            notes.append(f"{name}, around the vectorised environment in training, is left out")
        else:
            stack = _read_frame_stack(kwargs.get("n_stack"))
    kwargs = {
        **_read_mapping(config.get("env_kwargs"), "env_kwargs in config.yml"),
        **_read_mapping(args.get("env_kwargs"), "env_kwargs in args.yml"),
        **_read_mapping(env_kwargs, "env_kwargs.yml"),
    }
    own = dict(own_kwargs or {})
    check_env_kwargs(env_id, {k: value for k, value in kwargs.items() if k not in own}, trusted)

    def make_recipe(later: str) -> EnvRecipe:
        adapted = ADAPTATIONS.get((env_id, later), UNCHANGED)
        given = {**adapted.kwargs, **kwargs, **own}
        around = (*adapted.wrappers, *wrappers)
        return EnvRecipe(later, given, around, stack, normalizers, packages, trusted)

    today = current_id(env_id, observation_space, lambda later: read_space(make_recipe(later)))
    if today != env_id:
        adapted = ADAPTATIONS.get((env_id, today), UNCHANGED)
        notes.append(
            f"{env_id} is no longer in gymnasium: {today} stands in for it"
            + (f", {adapted.note}" if adapted.note else "")
        )
    return make_recipe(today), notes


def read_space(recipe: EnvRecipe) -> Space:
    """What a policy observes in the environment of a recipe."""
    env = recipe.make()
    try:
        return policy_space(env.observation_space, recipe)
    finally:
        env.close()


def read_wrappers(given: Any) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Name and arguments of each wrapper, innermost first.

    :param given: a dotted name, ``{name: arguments}``, or a list of these
    :raises ExplainError: if it is none of these
    """
    wrappers = []
    for observed in given if isinstance(given, list) else [given] if given else []:
        pair = (
            next(iter(observed.items()))
            if isinstance(observed, dict) and len(observed) == 1
            else None
        )
        name, kwargs = pair or (observed, None)
        (name,) = _read_names([name], "env_wrapper in config.yml")
        for old, new in MOVED.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        arguments = dict(_read_mapping(kwargs, f"the arguments of {name}"))
        if name == "gymnasium.wrappers.ResizeObservation" and "shape" in arguments:
            # which wants a tuple; YAML has none, and older versions took one number
            shape = arguments["shape"]
            arguments["shape"] = tuple(shape) if isinstance(shape, list) else (shape, shape)
        wrappers.append((name, arguments))
    return tuple(wrappers)


def read_normalizers(
    normalize: Any, statistics: Path | None, trusted: tuple[str, ...]
) -> dict[str, Normalizer]:
    """The statistics that normalize the observations, per key; empty if they are not normalized.

    :param normalize: ``normalize`` in ``config.yml``: True or False, arguments of VecNormalize, or
        their source text
    :param statistics: path of the file that VecNormalize saved, if there is one
    :param trusted: dotted names of packages that the file may name
    :raises ExplainError: if the observations are normalized, but the statistics are missing
    """
    if not normalizes_observations(normalize):
        return {}
    if statistics is None:
        raise ExplainError(
            "config.yml says that observations are normalized, but the statistics "
            "(vecnormalize.pkl) are missing: give vec_normalize=..."
        )
    return read_statistics(statistics, trusted)


def normalizes_observations(normalize: Any) -> bool:
    """Whether ``normalize`` of ``config.yml`` says that observations are normalized.

    :param normalize: True or False, a dict, or their source text
    """
    normalize = read_normalize(normalize)
    if isinstance(normalize, bool):
        return normalize
    return normalize.get("norm_obs") is not False


def read_normalize(normalize: Any) -> bool | dict[str, Any]:
    """Read ``normalize`` of ``config.yml``: whether there is VecNormalize, or its arguments.

    :param normalize: True or False, a dict, or their source text
    :raises ExplainError: for anything else
    """
    if isinstance(normalize, str):
        normalize = read_expression(normalize, "normalize in config.yml")
    if normalize is None:
        return False
    if not isinstance(normalize, bool | dict):
        raise ExplainError(f"normalize in config.yml is {quote(normalize)}: no truth value or dict")
    return normalize


def _read_mapping(given: Any, what: str) -> Mapping[str, Any]:
    if isinstance(given, str):
        given = read_expression(given, what)
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise ExplainError(f"{what} is not a mapping of names")
    return given


def _read_names(given: Any, what: str) -> tuple[str, ...]:
    """A dotted name or a list of them as a tuple; anything else is an error."""
    names = given if isinstance(given, list) else [given]
    for name in names:
        if not isinstance(name, str) or len(name) > 100 or not DOTTED_NAME.fullmatch(name):
            raise ExplainError(f"{what}: {quote(name)} is not a dotted name")
    return tuple(names)


def _read_frame_stack(given: Any) -> int:
    if given is None:
        return 1
    if type(given) is not int or not 0 <= given <= 1000:
        raise ExplainError(f"frame_stack in config.yml is {quote(given)}, not a small number")
    return max(given, 1)
