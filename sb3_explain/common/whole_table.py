"""Tables that are printed with all their columns."""

from __future__ import annotations

import shutil
from typing import Any

import pandas as pd


class WholeTable(pd.DataFrame):
    """A pandas DataFrame that a terminal shows with all its columns and texts.

    pandas itself leaves out the columns and ends of texts that a line has no room for; here they
    stand under one another. Of more than 60 rows, or ``display.max_rows``, some are left out.

    >>> from sb3_explain.common.whole_table import WholeTable
    >>> table = WholeTable({f"column {i}": ["x" * 60] for i in range(30)})
    >>> "..." in repr(table), "..." in repr(table[["column 1"]]), type(table["column 1"]).__name__
    (False, False, 'Series')
    """

    @property
    def _constructor(self) -> type[WholeTable]:
        """The class of what is selected from a table."""
        return WholeTable

    def __repr__(self) -> str:
        """Write all columns, in lines that the terminal has room for."""
        whole: tuple[Any, ...] = (
            *("display.max_columns", None),
            *("display.max_colwidth", None),
            *("display.width", shutil.get_terminal_size().columns),
        )
        with pd.option_context(*whole):
            return super().__repr__()
