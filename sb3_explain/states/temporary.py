"""A folder of its own for states that are kept in memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class TemporaryFolder:
    """A folder that is deleted when nothing refers to this object any more, or Python ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="sb3_explain_"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
