"""Fixtures that several test modules share, and what makes all tests faster."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sb3_explain.envs.opengl import choose_renderer
from tests.processes import preload


def pytest_sessionstart() -> None:
    """Let whatever starts the server of forks first, have it import the libraries."""
    choose_renderer()  # before any test imports MuJoCo
    preload()
    gc.disable()  # what collection imports and makes, stays


def pytest_collection_finish() -> None:
    """Libraries and tests stay to the end: the garbage collector need not look through them."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def agents_folder() -> Path:
    """A folder of published agents in the zoo's layout, named by SB3_EXPLAIN_AGENTS."""
    folder = os.environ.get("SB3_EXPLAIN_AGENTS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SB3_EXPLAIN_AGENTS names no folder of agents")
    below = Path(folder) / "zoo"
    return below if below.is_dir() else Path(folder)


@pytest.fixture(scope="module")
def few_candidates() -> Iterator[None]:
    """Searches of states of interest draw 256 codes in place of 4,096 to choose their starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sb3_explain.probing.search.CANDIDATES", 256)
        yield
