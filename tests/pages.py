"""The code of a page of the documentation, as one script that runs in a process of its own."""

import re
from pathlib import Path

from tests.processes import ROOT as ROOT
from tests.processes import run_in_fork

_BLOCK = re.compile(r"^<!-- run -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+\.png)\)")
_LEARN = re.compile(r"\.learn\(([\d_]+)")


def read_code(page: Path) -> str:
    """Read all marked blocks of a page, in order."""
    return "\n".join(_BLOCK.findall(page.read_text(encoding="utf-8")))


def shorten_training(code: str, n_steps: int) -> str:
    """Let every model of a script learn for at most so many timesteps."""
    return _LEARN.sub(lambda found: f".learn({min(int(found[1]), n_steps)}", code)


def list_pictures(page: Path) -> list[Path]:
    """List the files of the pictures that a page shows."""
    named = _PICTURE.findall(page.read_text(encoding="utf-8"))
    return [(page.parent / name).resolve() for name in named]


def run_script(code: str, folder: Path, timeout: float = 300) -> str:
    """Run a script in a folder, and return what it prints; what it registers stays there."""
    script = folder / "page.py"
    script.write_text(code, encoding="utf-8")
    return run_in_fork(script, folder=folder, timeout=timeout)
