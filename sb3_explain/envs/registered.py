"""Find environments by their ids: packages that register them, later versions, similar names."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line
from sb3_explain.envs.trust import check_trusted, read_names

logger = logging.getLogger(__name__)


class Package(NamedTuple):
    """A package that brings environments.

    :param module: module that registers the environments when it is imported
    :param install: command that installs the package
    :param signs: texts of which the environments' ids, or the errors without the package, contain
        one
    :param registers: whether it registers environments; Gymnasium has those of the others
    """

    module: str
    install: str
    signs: tuple[str, ...]
    registers: bool = True


PACKAGES = (
    Package(
        "ale_py",
        "pip install 'sb3-explain[atari]'",
        ("NoFrameskip", "ALE/", "ale_py", "cv2", "OpenCV"),
    ),
    Package("Box2D", "pip install 'sb3-explain[box2d]'", ("Box2D", "box2d"), registers=False),
    # before the next one: the error of these environments names MuJoCo too
    Package("mujoco", "pip install 'sb3-explain[robot]'", ("ROBOT/",), registers=False),
    Package("mujoco", "pip install 'gymnasium[mujoco]'", ("MuJoCo", "mujoco"), registers=False),
    Package("panda_gym", "pip install panda-gym", ("Panda",)),
    Package(
        "pybullet_envs_gymnasium", "pip install pybullet-envs-gymnasium", ("Bullet", "pybullet")
    ),
    Package("minigrid", "pip install minigrid", ("MiniGrid", "BabyAI")),
    Package(
        "gymnasium_robotics",
        "pip install gymnasium-robotics",
        (
            "Fetch",
            "HandReach",
            "HandManipulate",
            "AdroitHand",
            "AntMaze",
            "PointMaze",
            "FrankaKitchen",
            "gymnasium_robotics",
        ),
    ),
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

#: modules that a file may have imported: those above, and names that older agents have for them
MODULES = frozenset(
    {
        *(package.module for package in PACKAGES if package.registers),
        "gymnasium",
        "gymnasium.envs",
        "sb3_contrib",
        "stable_baselines3",
        "vizdoom",
    }
)


def register_environments(
    env_id: str, packages: Iterable[str] = (), trusted: Iterable[str] = ()
) -> None:
    """Import the module that registers an environment, if a known or trusted package has it.

    :param env_id: gymnasium id of the environment
    :param packages: modules that the agent was trained with (``gym_packages`` in the zoo)
    :param trusted: dotted names that the user trusts
    :raises ExplainError: if the environment needs a package that may not be imported
    """
    module, separator, _ = env_id.partition(":")
    if separator:  # gym.make imports what stands before the colon
        check_trusted(module, trusted, "the environment's package", MODULES)
        if _is_installed(module):
            _register(module)
        return
    if is_registered(env_id):
        return
    for package in PACKAGES:
        if (
            package.registers
            and any(sign in env_id for sign in package.signs)
            and _is_installed(package.module)
        ):
            _register(package.module)
    for name in packages:
        if not is_registered(env_id):
            check_trusted(name, trusted, f"the package of {env_id!r},", MODULES)
            if _is_installed(name):
                _register(name)


def import_packages(packages: str | Iterable[str]) -> tuple[str, ...]:
    """Import the modules that the user names, which may register environments.

    As with RL Zoo's ``--gym-packages``, whatever they do when they are imported is done. So no name
    may come from a file.

    :param packages: dotted name of a module, or several
    :return: their names
    :raises ExplainError: if one cannot be imported, or something else is given
    """
    names = read_names(packages, "gym_packages")
    for name in names:
        _register(name)
    return names


class MissingEnvironmentError(ExplainError):
    """An environment that cannot be made here; its agent may be loaded all the same."""


def missing_environment(env_id: str, error: Exception) -> ExplainError:
    """The error that says which package to install, or which id is similar.

    :param env_id: id of the environment that cannot be made
    :param error: error of ``gymnasium.make``
    """
    text = str(error)
    reason = one_line(error)
    for package in PACKAGES:
        if not _is_installed(package.module) and any(
            sign in f"{env_id} {text}" for sign in package.signs
        ):
            return MissingEnvironmentError(
                f"environment {env_id!r} needs a package that is not installed: "
                f"{package.install} ({reason})"
            )
    if "unexpected keyword argument 'render_mode'" in text:
        return ExplainError(f"environment {env_id!r} renders nothing: collect with render=False")
    known = [name for name in gym.registry if not has_moved(name)]
    close = difflib.get_close_matches(env_id, known, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close and close[0] != env_id else ""
    said = f"environment {env_id!r} cannot be made{hint} ({reason})"
    if not is_registered(env_id):
        said += ": gym_packages=[...] imports a module of yours that registers it"
    return MissingEnvironmentError(said)


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make an environment by ``gymnasium.make``; every failure becomes a one-line error.

    :param env_id: gymnasium id of the environment
    :param kwargs: further arguments of ``gymnasium.make``
    :raises ExplainError: if the environment is missing, or rejects its arguments
    """
    try:
        with warnings.catch_warnings(), _logged_warnings(env_id):
            # Old agents need old environments, and loading such an agent already logs a warning.
            warnings.filterwarnings("ignore", message=".*is out of date.*")
            return gym.make(env_id, **kwargs)
    except Exception as error:  # an environment may refuse its arguments in any way
        raise missing_environment(env_id, error) from error


def find_family(env_id: str) -> str:
    """The package of an environment, in whatever version: vizdoom, highway_env, mujoco, ..."""
    name = re.sub(r"-v\d+$", "", env_id.rpartition(":")[2])
    for spec in gym.registry.values():
        if re.sub(r"-v\d+$", "", spec.id) == name and isinstance(spec.entry_point, str):
            return re.split(r"[.:]", spec.entry_point.removeprefix("gymnasium.envs."))[0]
    return ""


def is_registered(env_id: str) -> bool:
    """Whether gymnasium knows an id, if only to say where its environment went."""
    return env_id in gym.registry


def has_moved(env_id: str) -> bool:
    """Whether gymnasium keeps the id only to say where the environment went (MuJoCo v2 and v3)."""
    entry_point = gym.registry[env_id].entry_point
    return getattr(entry_point, "__name__", "").startswith("_raise_")


@contextlib.contextmanager
def _logged_warnings(env_id: str) -> Iterator[None]:
    """Log what MuJoCo warns of; it would write it into the working directory (MUJOCO_LOG.TXT)."""
    if find_family(env_id) != "mujoco" or not _is_installed("mujoco"):
        yield
        return
    mujoco = importlib.import_module("mujoco")
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(before or (lambda text: logger.debug("MuJoCo: %s", text)))
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _register(module: str) -> None:
    try:
        gym.register_envs(importlib.import_module(module))
    except Exception as error:  # what it runs when it is imported may fail in any way
        raise ExplainError(
            f"the package {module!r} cannot be imported ({one_line(error)}): is it installed, or "
            "its folder in PYTHONPATH?"
        ) from error
