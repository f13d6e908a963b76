"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def agents_folder() -> Path:
    """A folder of published agents in the zoo's layout, named by SB3_EXPLAIN_AGENTS."""
    folder = os.environ.get("SB3_EXPLAIN_AGENTS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SB3_EXPLAIN_AGENTS names no folder of agents")
    below = Path(folder) / "zoo"
    return below if below.is_dir() else Path(folder)
