"""What a step in an environment gave."""

from __future__ import annotations

from typing import NamedTuple


class StepOutcome(NamedTuple):
    """What a step gave.

    :param reward: its reward
    :param over: whether the episode is over
    :param truncated: whether it is over because a limit of time was reached
    """

    reward: float
    over: bool = False
    truncated: bool = False
