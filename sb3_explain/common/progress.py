"""Progress bars of long jobs, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm


def progress_bar(
    description: str, total: int, unit: str, enabled: bool, done: int = 0
) -> tqdm[Any]:
    """A bar that redraws itself on a terminal, and prints a line every 20 seconds in a log file.

    :param description: name of the job
    :param total: number of units of the whole job
    :param unit: name of the units, in the plural
    :param enabled: whether to show the bar
    :param done: number of units that an earlier run has done
    """
    return tqdm(
        desc=description,
        total=total,
        unit=f" {unit}",
        initial=done,
        disable=not enabled,
        mininterval=0.2 if sys.stderr.isatty() else 20.0,
        dynamic_ncols=True,
        file=sys.stderr,
    )


def track(bar: tqdm[Any]) -> Callable[[int], None]:
    """A function that sets a bar to the number of units that it is called with."""

    def move(done: int) -> None:
        bar.update(done - bar.n)

    return move
