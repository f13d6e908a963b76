"""Name an environment that is there, so that it can be made again."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.wrappers import NormalizeObservation
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.known_wrappers import KNOWN_WRAPPERS
from sb3_explain.envs.recipe import EnvRecipe

#: wrappers that do not change what happens: recipes have their own Monitor
UNNAMED = ("HumanRendering", "Monitor", "RecordEpisodeStatistics", "RecordVideo")
#: arguments of SB3's Atari wrappers, and the attributes that hold them
ATARI_ARGUMENTS = {
    "StickyActionEnv": {"action_repeat_probability": "action_repeat_probability"},
    "NoopResetEnv": {"noop_max": "noop_max"},
    "MaxAndSkipEnv": {"skip": "_skip"},
    "EpisodicLifeEnv": {},
    "FireResetEnv": {},
    "WarpFrame": {"width": "width", "height": "height"},
    "ClipRewardEnv": {},
}
ATARI_MODULE = "stable_baselines3.common.atari_wrappers"

Wrapper = tuple[str, dict[str, Any]]


class UnnamedEnvironmentError(ExplainError):
    """An environment cannot be made again by names; the message says why."""


@dataclasses.dataclass(frozen=True)
class ModelEnv:
    """An environment that can be asked for attributes, here or in a worker process.

    :param text: its wrappers as Gymnasium prints them
    :param ask: returns an attribute of the environment or its wrappers; ``None`` if there is none
    :param call: returns what one of their methods returns; ``None`` if there is none
    :param env: the environment itself, if it is in this process
    """

    text: str
    ask: Callable[[str], Any]
    call: Callable[[str], Any]
    env: gym.Env[Any, Any] | None = None

    @classmethod
    def of(cls, env: gym.Env[Any, Any]) -> ModelEnv:
        """An environment in this process."""

        def ask(name: str) -> Any:
            return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None

        def call(name: str) -> Any:
            return env.get_wrapper_attr(name)() if env.has_wrapper_attr(name) else None

        return cls(str(env), ask, call, env)

    @classmethod
    def of_worker(cls, envs: SubprocVecEnv) -> ModelEnv:
        """The first environment of a SubprocVecEnv, whose worker waits for commands.

        A worker dies of what it cannot answer: of attributes that are missing, and of answers that
        cannot be pickled. So it is first asked whether it has the attribute, and asked for its spec
        only if the environment's class is registered by its name.
        """

        def ask(name: str) -> Any:
            if name == "spec" and not isinstance(find_registered(text).entry_point, str):
                raise UnnamedEnvironmentError("it is made by a function in another process")
            return envs.get_attr(name, indices=[0])[0] if envs.has_attr(name) else None

        def call(name: str) -> Any:
            return envs.env_method(name, indices=[0])[0] if envs.has_attr(name) else None

        text = str(call("__str__"))
        return cls(text, ask, call)


def name_env(env: gym.Env[Any, Any]) -> str:
    """The id of an environment, or the name of its class."""
    spec = env.unwrapped.spec
    return spec.id if spec is not None else type(env.unwrapped).__name__


def find_registered(text: str) -> EnvSpec:
    """What Gymnasium's registry has of an environment as it is printed: ``<Monitor<Env<Id-v0>>>``.

    :raises UnnamedEnvironmentError: if there is no such environment in the registry
    """
    match = re.search(r"<([^<>]+)>+$", text)
    try:
        return gym.spec(match[1] if match else "")
    except gym.error.Error as error:
        raise UnnamedEnvironmentError("gymnasium.make does not know it") from error


def name_environment(env: ModelEnv) -> EnvRecipe:
    """Name an environment: its id, and arguments and wrappers that can be made again.

    :param env: the environment
    :raises UnnamedEnvironmentError: if a part has no name
    """
    spec: EnvSpec | None = env.ask("spec")
    if spec is None:
        raise UnnamedEnvironmentError("it was not made by gymnasium.make")
    registered = gym.registry.get(spec.id)
    if registered is None or registered.entry_point != spec.entry_point:
        raise UnnamedEnvironmentError(f"{spec.id} is registered no more")
    kwargs = {
        name: copy.deepcopy(value)
        for name, value in spec.kwargs.items()
        if name != "render_mode" and not _equal(registered.kwargs.get(name, _MISSING), value)
    }
    if not is_plain(kwargs):
        raise UnnamedEnvironmentError(f"the arguments of {spec.id} are not all plain values")
    if spec.max_episode_steps != registered.max_episode_steps:
        kwargs["max_episode_steps"] = spec.max_episode_steps or -1
    own = spec.additional_wrappers[_count_made(env.text, registered) :]
    wrappers = tuple(name_wrappers(own, env.ask))
    # What the user's own model runs already needs no further word.
    trusted = {name for name, _ in wrappers if name not in KNOWN_WRAPPERS}
    return EnvRecipe(spec.id, kwargs, wrappers, trusted=tuple(sorted(trusted)))


_MISSING = object()


def _equal(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(b, np.ndarray) else a is b or bool(a == b)


def _count_made(text: str, registered: EnvSpec) -> int:
    """Number of wrappers that ``gymnasium.make`` applies by itself, innermost first.

    Those inside its own checks come with the environment's class, those of the registry follow.
    """
    names = re.findall(r"<(\w+)", text)
    own = [i for i, name in enumerate(names) if name in ("PassiveEnvChecker", "OrderEnforcing")]
    # the last two are the environment's class and its id
    inside = len(names) - own[-1] - 3 if own else 0
    return max(inside, len(registered.additional_wrappers))


def name_wrappers(specs: Sequence[WrapperSpec], ask: Callable[[str], Any]) -> list[Wrapper]:
    """Name wrappers with their arguments, innermost first.

    :param specs: the wrappers, as ``spec.additional_wrappers`` has them
    :param ask: returns an attribute of the environment or its wrappers
    :raises UnnamedEnvironmentError: if a wrapper cannot be made again
    """
    named: list[Wrapper] = []
    for spec in specs:
        kind = import_class(spec)
        if kind.__name__ in UNNAMED:
            continue
        if issubclass(kind, NormalizeObservation):
            raise UnnamedEnvironmentError(
                f"its wrapper {kind.__name__} holds statistics, which a new one has not"
            )
        if kind is AtariWrapper:
            # it wraps the environment in its parts, and itself around them
            parts = [name for name, _ in named]
            n_parts = 0
            while n_parts < len(parts) and parts[-1 - n_parts].startswith(ATARI_MODULE):
                n_parts += 1
            kwargs = _read_atari_arguments(named[len(named) - n_parts :])
            named = [*named[: len(named) - n_parts], (f"{ATARI_MODULE}.AtariWrapper", kwargs)]
            continue
        named.append((_public_name(kind), _read_arguments(kind, spec, ask)))
    return named


def import_class(spec: WrapperSpec) -> type:
    """The class of a wrapper, if it can be imported by its name."""
    module, _, name = spec.entry_point.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UnnamedEnvironmentError(
            f"its wrapper {spec.name} cannot be imported by name"
        ) from error
    if not isinstance(kind, type):
        raise UnnamedEnvironmentError(f"its wrapper {spec.name} cannot be imported by name")
    return kind


def _public_name(kind: type) -> str:
    """Dotted name of a wrapper, as Gymnasium's documentation has it."""
    if getattr(gym.wrappers, kind.__name__, None) is kind:
        return f"gymnasium.wrappers.{kind.__name__}"
    return f"{kind.__module__}.{kind.__name__}"


def _read_arguments(kind: type, spec: WrapperSpec, ask: Callable[[str], Any]) -> dict[str, Any]:
    if spec.kwargs is not None:  # the class records its arguments
        if not is_plain(spec.kwargs):
            raise UnnamedEnvironmentError(
                f"the arguments of its wrapper {spec.name} are not all plain values"
            )
        return dict(spec.kwargs)
    if kind.__module__ == ATARI_MODULE and kind.__name__ in ATARI_ARGUMENTS:
        return {name: ask(held) for name, held in ATARI_ARGUMENTS[kind.__name__].items()}
    if len(inspect.signature(kind).parameters) > 1:
        raise UnnamedEnvironmentError(f"its wrapper {spec.name} does not record its arguments")
    return {}


def _read_atari_arguments(parts: Sequence[Wrapper]) -> dict[str, Any]:
    """The arguments of an AtariWrapper that made these wrappers, without its defaults."""
    made = {name.rpartition(".")[2]: kwargs for name, kwargs in parts}
    arguments = {
        "noop_max": made.get("NoopResetEnv", {}).get("noop_max", 0),
        "frame_skip": made.get("MaxAndSkipEnv", {}).get("skip", 1),
        "screen_size": made["WarpFrame"]["width"],
        "terminal_on_life_loss": "EpisodicLifeEnv" in made,
        "clip_reward": "ClipRewardEnv" in made,
        "action_repeat_probability": made.get("StickyActionEnv", {}).get(
            "action_repeat_probability", 0.0
        ),
    }
    defaults = inspect.signature(AtariWrapper).parameters
    return {name: value for name, value in arguments.items() if value != defaults[name].default}


def is_plain(value: Any) -> bool:
    """Whether a value is a number, text, array, or a list or dict of such."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    plain = str | int | float | np.integer | np.floating | np.bool_ | np.ndarray | None
    return isinstance(value, plain)
