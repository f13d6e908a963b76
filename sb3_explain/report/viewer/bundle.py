"""Join the viewer's scripts into one, and say by which hashes a page may run them."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = HERE / "js"
UPLOT = HERE / "vendor" / "uPlot-1.6.32.iife.min.js"
UPLOT_STYLE = HERE / "vendor" / "uPlot-1.6.32.min.css"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) )", re.MULTILINE)
_EXPORT_LIST = re.compile(r"^export \{[^}]*\};\n", re.MULTILINE)


@cache
def join_scripts(module: str = "page.js", folder: Path = SCRIPTS) -> str:
    """Join a module and all that it imports into one script, each module once, imports first.

    Names at the top of modules are therefore names of one scope, so no two may be the same.

    :param module: name of a file of scripts
    :param folder: folder of the scripts; that of the viewer's when not given
    """
    joined: list[str] = []
    seen: set[str] = set()

    def add(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        source = (folder / name).read_text(encoding="utf-8")
        for imported in _IMPORT.findall(source):
            add(imported)
        source = _EXPORT_LIST.sub("", _EXPORT.sub("", _IMPORT.sub("", source)))
        joined.append(source.strip())

    add(module)
    return '"use strict";\n' + "\n\n".join(joined) + "\n"


def join_module() -> str:
    """Join the scripts of a notebook's viewer into one ECMAScript module, as anywidget runs it.

    Each widget runs it anew; uPlot, which listens to the window for ever, runs once.
    """
    shared = f'const uPlot = globalThis[Symbol.for("{UPLOT.name}")] ??= function('
    uplot = UPLOT.read_text(encoding="utf-8").replace("var uPlot=function(", shared, 1)
    return uplot + "\n" + join_scripts("widget.js")


def hash_of(text: str) -> str:
    """Return the source of a content security policy that allows one inline text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
