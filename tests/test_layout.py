"""The house stays as docs/design.md has it: short files, and no room beside the twelve."""

import statistics
from pathlib import Path

import sb3_explain

ROOT = Path(sb3_explain.__file__).parent


def test_files_are_short():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in ROOT.rglob("*.py")
    }
    assert not {name: n for name, n in lengths.items() if n > 400}
    assert statistics.median(lengths.values()) <= 120


def test_the_rooms():
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert rooms == {
        "agents", "callbacks", "cli", "common", "envs", "evaluation", "explainers", "probing",
        "report", "sgqn", "states", "workflows",
    }  # fmt: skip
