"""``agent.json`` of an output folder: the flags that name its agent, for later commands.

The folder may be a stranger's. So the file only says which files to load, which are read as data:
what would run code, or is not checked when the user gives it, has to be given again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import array, flag, optional, read_document, record, text, whole
from sb3_explain.common.untrusted import quote
from sb3_explain.workflows.agent_file import NAME, write_origin

#: what to do about a damaged file
REMEDY = "give the agent's flags again, such as --algo and --env"
#: algorithm and environment of the demo agent
DEMO = ("ppo", "PongNoFrameskip-v4")
#: size limit in bytes
MAX_BYTES = 100_000

#: flags that name an agent, and what they are when nobody gives them
DEFAULTS: dict[str, Any] = {
    "folder": "logs",
    "exp_id": 0,
    "load_best": False,
    "load_checkpoint": None,
    "load_last_checkpoint": False,
    "organization": None,
    "revision": None,
    "vec_normalize": None,
    "action_names": None,
    "feature_names": None,
}
#: flags that are written to say that they have to be given again
AGAIN: dict[str, Any] = {"env_kwargs": [], "gym_packages": [], "trust": []}
#: flags that are no part of the agent
HERE: dict[str, Any] = {"device": "cpu"}

_NAMES = array(text(200), longest=10_000)
_FORM = record(
    {},
    {
        "demo": flag,
        "algo": text(100),
        "env": text(200),
        "folder": text(4000),
        "exp_id": whole(),
        "load_best": flag,
        "load_checkpoint": optional(whole()),
        "load_last_checkpoint": flag,
        "organization": optional(text(200)),
        "revision": optional(text(200)),
        "vec_normalize": optional(text(4000)),
        "action_names": optional(_NAMES),
        "feature_names": optional(_NAMES),
        **{name: _NAMES for name in AGAIN},
    },
)


def complete_flags(options: argparse.Namespace) -> None:
    """Set the flags of the agent that the user left out, from the output folder or by default.

    The output folder is asked if neither algorithm nor environment is named.

    :param options: the options of a command, which are changed
    :raises ExplainError: if no agent is named, or the file in the folder is damaged, or names what
        has to be given again
    """
    options.demo = False
    known: dict[str, Any] = {}
    if options.algo is None and options.env is None:
        known = read_agent_file(options)
    elif options.algo is None or options.env is None:
        raise ExplainError(f"give --{'env' if options.env is None else 'algo'} as well")
    for name, default in {**DEFAULTS, **AGAIN, **HERE}.items():
        if getattr(options, name) is None:
            setattr(options, name, known.get(name, default))


def read_agent_file(options: argparse.Namespace) -> dict[str, Any]:
    """Read the flags that an output folder keeps, and set algorithm and environment.

    :param options: the options of a command, which are changed
    """
    path = Path(options.output) / NAME
    if not path.parent.is_dir():
        raise ExplainError(
            f"there is no folder {quote(str(path.parent))}: -o names that of an earlier command;"
            " or give --algo, --env"
        )
    if not path.exists():
        if is_of_demo(Path(options.output)):
            options.demo = True
            options.algo, options.env = DEMO
            return {}
        raise ExplainError(
            f"{options.output} does not say which agent it explains (no {NAME}): give --algo, "
            "--env and --folder; for an agent that load_agent has not loaded call why(...) or "
            "export(agent, ...) in Python"
        )
    known: dict[str, Any] = read_document(path, _FORM, REMEDY, limit=MAX_BYTES)
    if known.get("demo", False):
        options.demo = True
        options.algo, options.env = DEMO
        return {}
    for name in ("algo", "env"):
        if not known.get(name):
            raise ExplainError(f"{path} is damaged ({name} is missing): {REMEDY}")
    if ":" in known["env"]:  # gymnasium would import what stands before it
        raise ExplainError(
            f"{path} names the environment {quote(known['env'])}, whose module would be imported: "
            "if you trust it, give --algo and --env yourself"
        )
    for name in AGAIN:
        flag_name = f"--{name.replace('_', '-')}"
        if known.get(name) and getattr(options, name) is None:
            raise ExplainError(
                f"{path} says that this agent needs {flag_name} {quote(' '.join(known[name]))}, "
                f"which is never taken from a file: if you trust it, give {flag_name} again"
            )
    options.algo, options.env = known["algo"], known["env"]
    for name in ("folder", "vec_normalize"):
        if known.get(name) not in (None, "no"):
            known[name] = os.path.normpath(path.parent / known[name])
    return known


def is_of_demo(folder: Path) -> bool:
    """Return whether a folder holds states of the demo agent, by the hash of its file.

    :param folder: output folder
    """
    # here, so that other commands start without torch
    from sb3_explain.agents.demo import FILE
    from sb3_explain.states.dataset import StateDataset
    from sb3_explain.workflows.whole_episodes import STORES

    for store in STORES:
        if (folder / store).exists():
            played_by = StateDataset.open(folder / store).provenance.get("agent")
            known = played_by.get("sha256") if isinstance(played_by, dict) else None
            return known is not None and known == hashlib.sha256(FILE.read_bytes()).hexdigest()
    return False


def write_agent_file(options: argparse.Namespace) -> None:
    """Keep the flags of an agent that was loaded in the output folder.

    :param options: the options of a command that has loaded its agent
    """
    written: dict[str, Any] = {"demo": True}
    if not options.demo:
        written = {name: getattr(options, name) for name in ("algo", "env", *DEFAULTS, *AGAIN)}
    write_origin(written, Path(options.output))
