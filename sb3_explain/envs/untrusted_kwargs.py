"""Arguments of an environment that come from a file: plain values, and none that names a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.registered import find_family
from sb3_explain.envs.trust import allow, is_trusted

#: largest nesting, number of values, and length of a name
DEPTH, VALUES, NAME = 6, 1000, 50
#: largest magnitude of a number: it may be the side of an array
LARGEST = 10_000
#: arguments that count time, of which more does not need more memory
TIMES = frozenset(
    {
        "duration", "episode_start_time", "episode_timeout", "max_episode_steps",
        "max_num_frames_per_episode", "max_steps", "seed", "time_limit",
    }
)  # fmt: skip
#: words of names whose values are files, programs, modules, functions or addresses
REFUSED = frozenset(
    {
        "address", "args", "argv", "assets", "callback", "class", "cls", "cmd", "code", "command",
        "directory", "dump", "entry", "exe", "executable", "exec", "files", "filename", "folder",
        "func", "function", "host", "import", "iwad", "lib", "library", "log", "module", "package",
        "paths", "plugin", "port", "program", "record", "save", "script", "socket", "uri", "url",
        "urdf", "wad", "xml",
    }
)  # fmt: skip
#: a text without separators of paths, and with dots in numbers only
PLAIN_TEXT = re.compile(r"(?:[\w +\-=(),#*]|(?<=\d)\.(?=\d))*")

NAMES_FILE = "it may name a file, a program or a module"

#: what ViZDoom may be given; it takes any line of its configuration, also the program to start
VIZDOOM = frozenset(
    {
        "automap_buffer_enabled", "available_buttons", "available_game_variables",
        "damage_made_reward", "damage_taken_penalty", "damage_taken_reward", "death_penalty",
        "death_reward", "depth_buffer_enabled", "doom_map", "doom_skill", "episode_start_time",
        "episode_timeout", "frag_reward", "frame_skip", "health_reward", "hit_reward",
        "hit_taken_penalty", "hit_taken_reward", "item_reward", "kill_reward",
        "labels_buffer_enabled", "living_reward", "map_exit_reward", "max_buttons_pressed",
        "render_all_frames", "render_corpses", "render_crosshair", "render_decals",
        "render_effects_sprites", "render_hud", "render_messages", "render_minimal_hud",
        "render_mode", "render_particles", "render_screen_flashes", "render_weapon",
        "screen_format", "screen_resolution", "secret_reward", "seed",
        "treat_episode_timeout_as_truncation", "use_multi_binary_action_space",
    }
)  # fmt: skip
#: classes that highway-env may import for the other vehicles
VEHICLES = frozenset(
    f"highway_env.vehicle.{name}"
    for name in (
        "behavior.AggressiveVehicle",
        "behavior.DefensiveVehicle",
        "behavior.IDMVehicle",
        "behavior.LinearVehicle",
        "controller.ControlledVehicle",
        "controller.MDPVehicle",
        "kinematics.Vehicle",
    )
)
#: largest magnitudes of numbers that highway-env may be given, which multiply to arrays' sizes
HIGHWAY = {"controlled_vehicles": 10, "grid_size": 100, "observation_shape": 512, "stack_size": 16}
HIGHWAY_LARGEST = 1000


def check_env_kwargs(env_id: str, kwargs: Mapping[str, Any], trusted: Iterable[str]) -> None:
    """Refuse arguments that could make an environment open, start or import what a file names.

    :param env_id: gymnasium id of the environment, whose package has been imported
    :param kwargs: arguments that the files of an agent give it
    :param trusted: dotted names that the user trusts; an argument is called
        ``env_kwargs.config.other_vehicles_type``, and all of them together ``env_kwargs``
    :raises ExplainError: if one is refused; the error shows it
    """
    family = find_family(env_id)
    n_values = 0
    left: list[tuple[tuple[str, ...], Any]] = [((), dict(kwargs))]
    while left:
        names, value = left.pop()
        n_values += 1
        if n_values > VALUES or len(names) > DEPTH:
            raise ExplainError(
                f"the env_kwargs of the agent's files have more than {VALUES} values or {DEPTH} "
                "levels: give env_kwargs=... yourself"
            )
        if names and is_trusted(".".join(("env_kwargs", *names)), trusted):
            continue
        if isinstance(value, dict):
            for key, inner in value.items():
                if not isinstance(key, str) or len(key) > NAME or not key.isidentifier():
                    raise ExplainError(
                        f"env_kwargs of the agent's files: {quote(key)} is no name of an argument"
                    )
                left.append(((*names, key), inner))
        elif isinstance(value, list | tuple):
            left += [(names, inner) for inner in value]
        else:
            reason = _find_reason(family, names, value)
            if reason is not None:
                dotted = ".".join(names)
                raise ExplainError(
                    f"env_kwargs of the agent's files: {dotted}={quote(value)} was not used: "
                    f"{reason}; give env_kwargs=... yourself, or {allow(f'env_kwargs.{dotted}')}"
                )


def _find_reason(family: str, names: tuple[str, ...], value: Any) -> str | None:
    """Why a value is refused; ``None`` if it is not."""
    if family == "vizdoom" and names[0] not in VIZDOOM:
        return "ViZDoom may start or read what it names"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _find_excess(family, names[-1], value)
    if not isinstance(value, str) or len(value) > 100:
        return "not a plain value"
    if family == "highway_env" and value in VEHICLES:
        return None
    if family == "mujoco" and names == ("xml_file",) and re.fullmatch(r"\w+\.xml", value):
        return None  # gymnasium looks for it in its own folder
    if any(map(_names_file, names)) or not PLAIN_TEXT.fullmatch(value):
        return NAMES_FILE
    return None


def _find_excess(family: str, name: str, value: float) -> str | None:
    """Why a number is refused; ``None`` if it is not."""
    largest = 10**9 if name in TIMES else LARGEST
    if family == "highway_env" and name not in TIMES:
        largest = HIGHWAY.get(name, HIGHWAY_LARGEST)
        if name == "grid_step" and not value >= 1:
            return "steps of at least 1 are taken from a file"
    if not abs(value) <= largest:  # also what is no number
        return f"numbers of at most {largest} are taken from a file"
    if _names_file(name):
        return NAMES_FILE
    return None


def _names_file(name: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    return any(word in REFUSED or word.endswith(("path", "file", "dir")) for word in words)
