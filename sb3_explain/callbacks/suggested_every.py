"""What to give a callback that explained a short training only once, at its end."""

from __future__ import annotations

import math
from collections.abc import Callable

#: number of explanations that show how an agent changes
WANTED = 5


def suggest_every(trained: int, share: float, budget: float) -> str:
    """Say which arguments make about :data:`WANTED` explanations in a training like this one.

    >>> from sb3_explain.callbacks.suggested_every import suggest_every
    >>> suggest_every(10_000, share=0.002, budget=0.02)
    'every=2000 makes about 5'
    >>> suggest_every(10_000, share=0.03, budget=0.02), suggest_every(300, share=0.4, budget=0.02)
    ('every=2000, budget=0.3 makes about 5', 'every=60, budget=None makes about 5')

    :param trained: number of timesteps of the training
    :param share: duration of one explanation, as a share of the training's own
    :param budget: the budget as it is now, in the same unit
    """
    arguments = [f"every={max(1, int(_keep_digit(trained / WANTED, math.floor)))}"]
    # when a fifth of the training is left, the last but one waits until the budget leaves room for
    # a longer one, and for the last
    if (WANTED + 2) * share > budget:
        arguments.append(f"budget={suggest_budget(WANTED * share, share)}")
    return f"{', '.join(arguments)} makes about {WANTED}"


def suggest_budget(of_all: float, share: float) -> str:
    """Say which budget has room for some explanations, the last of which waits for none.

    >>> from sb3_explain.callbacks.suggested_every import suggest_budget
    >>> suggest_budget(0.15, share=0.03), suggest_budget(2.0, share=0.4)
    ('0.3', 'None')

    :param of_all: what all of them take, as a share of the training's own time
    :param share: what one of them takes
    """
    needed = of_all + 2 * share
    return f"{_keep_digit(needed, math.ceil):g}" if 0 < needed < 1 else "None"


def _keep_digit(value: float, rounded: Callable[[float], int]) -> float:
    """Round a positive number to one digit."""
    unit = 10.0 ** math.floor(math.log10(value))
    return float(rounded(value / unit) * unit)
