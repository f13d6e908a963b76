"""Find environments by their ids: packages that register them, later versions, similar names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import parse_env_id

from sb3_explain.common.errors import ExplainError


class Package(NamedTuple):
    """A package that brings environments.

    :param module: module that registers the environments when it is imported
    :param install: command that installs the package
    :param signs: texts of which the environments' ids, or the errors without the package, contain
        one
    """

    module: str
    install: str
    signs: tuple[str, ...]


PACKAGES = (
    Package(
        "ale_py",
        "pip install 'sb3-explain[atari]'",
        ("NoFrameskip", "ALE/", "ale_py", "cv2", "OpenCV"),
    ),
    Package("Box2D", "pip install 'sb3-explain[box2d]'", ("Box2D", "box2d")),
    Package("mujoco", "pip install 'gymnasium[mujoco]'", ("MuJoCo", "mujoco")),
    Package("panda_gym", "pip install panda-gym", ("Panda",)),
    Package(
        "pybullet_envs_gymnasium", "pip install pybullet-envs-gymnasium", ("Bullet", "pybullet")
    ),
    Package("minigrid", "pip install minigrid", ("MiniGrid", "BabyAI")),
    Package(
        "highway_env",
        "pip install 'sb3-explain[highway]'",
        ("highway", "parking", "roundabout"),
    ),
    Package(
        "vizdoom.gymnasium_wrapper",
        "pip install 'sb3-explain[vizdoom]'",
        ("Vizdoom", "vizdoom"),
    ),
)

#: top-level packages that may be imported without the user's permission
TRUSTED_PACKAGES = ("stable_baselines3", "sb3_contrib", "gymnasium", "rl_zoo3", "sb3_explain")


def check_trusted(name: str, trusted: Iterable[str], what: str) -> None:
    """Refuse a dotted name whose package is neither known nor trusted.

    :param name: dotted name of a module, class or function
    :param trusted: top-level packages that the user allows
    :param what: what the name stands for, for the error message
    :raises ExplainError: if its top-level package is not allowed
    """
    package = name.partition(".")[0]
    known = (
        *TRUSTED_PACKAGES,
        *(known_package.module.partition(".")[0] for known_package in PACKAGES),
    )
    if package not in (*known, *trusted):
        raise ExplainError(
            f"{what} {name!r} is not from a known package and was not imported: "
            f"allow it with trusted=[{package!r}] (on the command line: --trust {package})"
        )


def register_environments(
    env_id: str, packages: Iterable[str] = (), trusted: Iterable[str] = ()
) -> None:
    """Import the module that registers an environment, if a known or trusted package has it.

    :param env_id: gymnasium id of the environment
    :param packages: modules that the agent was trained with (``gym_packages`` in the zoo)
    :param trusted: top-level packages that the user allows
    :raises ExplainError: if the environment needs a package that may not be imported
    """
    module, separator, _ = env_id.partition(":")
    if separator:  # gym.make imports what stands before the colon
        check_trusted(module, trusted, "the environment's package")
        return
    if _is_registered(env_id):
        return
    for package in PACKAGES:
        if any(sign in env_id for sign in package.signs) and _is_installed(package.module):
            _register(package.module)
    for name in packages:
        if not _is_registered(env_id):
            check_trusted(name, trusted, f"environment {env_id!r} is registered by a package that")
            if _is_installed(name):
                _register(name)


def current_id(env_id: str) -> str:
    """The id that gymnasium has for an environment now: the newest version, if the id is gone.

    :param env_id: id under which the agent was trained, for example ``"LunarLander-v2"``
    """
    if ":" in env_id or (_is_registered(env_id) and not _has_moved(env_id)):
        return env_id
    try:
        namespace, name, version = parse_env_id(env_id)
    except gym.error.Error:
        return env_id
    versions = [
        spec.version
        for spec in gym.registry.values()
        if (spec.namespace, spec.name) == (namespace, name) and spec.version is not None
    ]
    # A later version may stand in for an earlier one, not the other way round.
    if not versions or version is None or max(versions) <= version:
        return env_id
    return gym.envs.registration.get_env_id(namespace, name, max(versions))


def missing_environment(env_id: str, error: Exception) -> ExplainError:
    """The error that says which package to install, or which id is similar.

    :param env_id: id of the environment that cannot be made
    :param error: error of ``gymnasium.make``
    """
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    for package in PACKAGES:
        if not _is_installed(package.module) and any(
            sign in f"{env_id} {text}" for sign in package.signs
        ):
            return ExplainError(
                f"environment {env_id!r} needs a package that is not installed: "
                f"{package.install} ({text})"
            )
    if "unexpected keyword argument 'render_mode'" in text:
        return ExplainError(
            f"environment {env_id!r} renders nothing: collect with render=False (--no-render)"
        )
    close = difflib.get_close_matches(env_id, list(gym.registry), n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close and close[0] != env_id else ""
    return ExplainError(f"environment {env_id!r} cannot be made{hint} ({text})")


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make an environment by ``gymnasium.make``; every failure becomes a one-line error.

    :param env_id: gymnasium id of the environment
    :param kwargs: further arguments of ``gymnasium.make``
    :raises ExplainError: if the environment is missing, or rejects its arguments
    """
    try:
        with warnings.catch_warnings():
            # Old agents need old environments, and loading such an agent already logs a warning.
            warnings.filterwarnings("ignore", message=".*is out of date.*")
            return gym.make(env_id, **kwargs)
    except Exception as error:  # an environment may refuse its arguments in any way
        raise missing_environment(env_id, error) from error


def _is_registered(env_id: str) -> bool:
    return env_id in gym.registry


def _has_moved(env_id: str) -> bool:
    """Whether gymnasium keeps the id only to say where the environment went (MuJoCo v2 and v3)."""
    entry_point = gym.registry[env_id].entry_point
    return getattr(entry_point, "__name__", "").startswith("_raise_")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _register(module: str) -> None:
    try:
        gym.register_envs(importlib.import_module(module))
    except ImportError as error:
        raise ExplainError(f"the package {module!r} cannot be imported ({error})") from error
