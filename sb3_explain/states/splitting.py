"""Split states by whole episodes, so that no part has neighbors of another's frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError


def split_by_episode(
    episode: NDArray[Any], fractions: Sequence[float], seed: int
) -> list[NDArray[np.int64]]:
    """Compute the positions of the states of each part.

    Episodes are shuffled and go to the last part until it has its share, then to the part before,
    and so on; every part has at least one episode.

    :param episode: (n,) number of each state's episode
    :param fractions: share of the states that each part shall have, above 0 and 1 together
    :param seed: random seed of the shuffle
    :raises ExplainError: for other fractions, or if there are fewer episodes than parts
    """
    if not all(fraction > 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ExplainError(f"fractions={tuple(fractions)}: give shares above 0 that add up to 1")
    episodes, counts = np.unique(episode, return_counts=True)
    if len(episodes) < len(fractions):
        raise ExplainError(
            f"{len(episode)} states of {len(episodes)} episode(s) cannot be split into "
            f"{len(fractions)} parts by episode: collect more states, or fewer per episode"
        )
    order = np.random.default_rng(seed).permutation(len(episodes))
    dealt: list[list[int]] = []
    left = list(order)
    for remaining, fraction in reversed(list(enumerate(fractions[1:], start=1))):
        part: list[int] = []
        while len(left) > remaining and (
            not part or counts[part].sum() + counts[left[-1]] / 2 < fraction * len(episode)
        ):
            part.append(left.pop())
        dealt.insert(0, part)
    return [np.flatnonzero(np.isin(episode, episodes[part])) for part in (left, *dealt)]
