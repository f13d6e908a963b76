"""When a callback explained the agent, and when the time budget made it wait or leave that out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.callbacks.suggested_every import suggest_budget
from sb3_explain.common.files import write_json
from sb3_explain.report.words import join_words

#: name of the file in a callback's folder
RECORD = "schedule.json"
#: most timesteps that a line names
MOST_NAMED = 8


class Schedule:
    """The timesteps at which explanations were due, and what became of them.

    >>> from sb3_explain.callbacks.schedule import Schedule
    >>> schedule = Schedule(every=100)
    >>> for timesteps in (200, 230, 300):
    ...     schedule.wait(timesteps)
    >>> schedule.make(260)
    >>> schedule.postponed, schedule.left_out
    ({200: 260}, [300])

    :param every: number of timesteps between two explanations; ``None`` for one at the end
    """

    def __init__(self, every: int | None) -> None:
        self.every = every
        #: timestep at which an explanation was due -> that at which it was made
        self.postponed: dict[int, int] = {}
        self._waiting: dict[int, None] = {}

    def wait(self, timesteps: int) -> None:
        """Note that what is due at a timestep has to wait for the budget."""
        self._waiting[self._find_due(timesteps)] = None

    def make(self, timesteps: int) -> None:
        """Note that the agent was explained at a timestep before the end."""
        due = self._find_due(timesteps)
        if due in self._waiting:
            del self._waiting[due]
            self.postponed[due] = timesteps

    def _find_due(self, timesteps: int) -> int:
        assert self.every is not None
        return timesteps // self.every * self.every

    @property
    def left_out(self) -> list[int]:
        """Timesteps at which an explanation was due that was never made."""
        return list(self._waiting)

    def describe(self, n_made: int, share: float, budget: float) -> str:
        """Say what the budget has postponed and left out, and how to get it.

        :param n_made: number of explanations that were made
        :param share: what they took, as a share of the training's own time
        :param budget: the budget in the same unit
        :return: the end of a line; empty if nothing had to wait
        """
        said = ""
        if self.postponed:
            late = [f"{due:,} to {made:,}" for due, made in self.postponed.items()]
            said += f"; the budget of {budget:.3g} postponed {name_some(late)}"
        if self.left_out:
            due = name_some([f"{one:,}" for one in self.left_out])
            enough = suggest_budget((n_made + len(self.left_out)) * share / n_made, share / n_made)
            start = " and left out" if said else f"; the budget of {budget:.3g} left out"
            said += f"{start} {due}, for which budget={enough} has room"
        return said

    def write(self, folder: Path, made: Sequence[int], cost: Mapping[str, Any]) -> None:
        """Write all this to a folder, as :data:`RECORD`.

        :param folder: the callback's folder
        :param made: timesteps at which the agent was explained
        :param cost: what it took, as plain data
        """
        postponed = [{"due": due, "made": at} for due, at in self.postponed.items()]
        write_json(
            folder / RECORD,
            {
                "every": self.every,
                "explained": list(made),
                "postponed": postponed,
                "left_out": self.left_out,
                **cost,
            },
        )


def name_some(names: Sequence[str]) -> str:
    """Join names; of many, the first ones and the last.

    >>> from sb3_explain.callbacks.schedule import name_some
    >>> name_some(["1", "2", "3"]), name_some([str(i) for i in range(1, 21)])
    ('1, 2 and 3', '1, 2, 3, 4, 5, 6, 7, ... and 20')
    """
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], "...", names[-1]]
    return join_words(names)
