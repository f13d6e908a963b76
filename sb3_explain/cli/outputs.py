"""Where a command writes, what it needs to be told, and what it says at its end."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from sb3_explain.common.errors import ExplainError

#: folder of all output folders that are not named
EXPLAINED = Path("explained")


def prepare(options: argparse.Namespace) -> None:
    """Choose the output folder of a command, unless it is named or there is none.

    What there is to say of it is kept in the ``notes`` of the options, for the end: after an error
    there may be no results.

    :param options: the options of a command, which are changed
    :raises ExplainError: if flags are missing
    """
    options.notes = []
    if not hasattr(options, "output"):
        return
    missing = list_missing(options)
    if missing:
        raise ExplainError(f"give {' and '.join(missing)} (see sb3-explain {options.name} --help)")
    if options.output is None:
        options.output = EXPLAINED / name_folder(options)
        options.notes.append(f"results: {options.output} (another folder: -o)")


def list_missing(options: argparse.Namespace) -> list[str]:
    """List the flags that a command needs, and was not given."""
    given = vars(options)
    missing = []
    agentless = not {"algo", "env"} & given.keys() or given.get("agents") or options.output
    if not agentless:
        lacking = [f"--{name}" for name in ("algo", "env") if given[name] is None]
        grid = ", or --agents" if "agents" in given else ""
        if lacking:
            missing.append(
                f"{' and '.join(lacking)} (or -o with the folder of an earlier command{grid})"
            )
    return missing + [flag for name, flag in options.needs.items() if given[name] is None]


def name_folder(options: argparse.Namespace) -> str:
    """Name an output folder after the agent, or after the command that has none."""
    given = vars(options)
    if given.get("algo") is None or given.get("env") is None:
        return str(options.folder_name).format_map(given)
    run = f"_{options.exp_id}" if given.get("exp_id") else ""
    return re.sub(r"[^\w.\-]+", "-", f"{options.algo}-{options.env}{run}")


def say_end(made: Path, *following: str, reason: str = "") -> None:
    """Print the address of what a command has made, and the command to try next.

    :param made: file or folder
    :param following: the words of a command of this program
    :param reason: why it is worth a try, on a line of its own
    """
    print(f"open    {made.resolve().as_uri()}")
    if following:
        print(f"next    sb3-explain {shlex.join(following)}")
    if reason:
        print(f"        {reason}")
