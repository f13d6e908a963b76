"""``agent.json`` of an output folder: which files its agent was loaded from, for later commands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.common.files import write_json

NAME = "agent.json"


def write_origin(origin: Mapping[str, Any], output: Path) -> None:
    """Keep the flags that name an agent in the output folder.

    Paths are written relative to the folder, so that they name no home.

    :param origin: values of the flags by the names of their arguments, or ``{"demo": True}``
    :param output: folder of the results
    """
    written = dict(origin)
    for name in ("folder", "vec_normalize"):
        if written.get(name) not in (None, "no"):
            written[name] = make_relative(Path(written[name]), output)
    write_json(output / NAME, written)


def make_relative(path: Path, folder: Path) -> str:
    """Return a path as it is seen from a folder; as it is where there is no way."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return str(path.resolve())
