"""What is said beside measured numbers: why they tell less than they seem to."""

from __future__ import annotations

from collections.abc import Mapping

from sb3_explain.common.bootstrap import ENOUGH_EPISODES, NARROW, NO_INTERVALS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.splitting import COLLECT_MORE

#: with fewer states than this, an interval is too narrow, as with few episodes
MIN_STATES = 300


def note_if_narrow(n: int, n_given: int, episodes: int, clusters: int = 2) -> str:
    """Say that intervals are too narrow, or missing, and what to do; nothing if they are not.

    :param n: number of states that are measured
    :param n_given: number of states that could be
    :param episodes: number of episodes that the measured states are of
    :param clusters: number of clusters that are resampled; fewer than two have no interval
    """
    if n >= MIN_STATES and episodes >= ENOUGH_EPISODES:
        return ""
    more = f"measure more of the {n_given} states (n_evaluated=, --n-evaluated)"
    lacking = []
    if n < MIN_STATES:
        lacking.append(f"{n} states where {MIN_STATES} are needed")
    if episodes < ENOUGH_EPISODES:
        lacking.append(f"{episodes} episode(s) where {ENOUGH_EPISODES} are needed")
    return (
        f"{NO_INTERVALS if clusters < 2 else NARROW} with {' and '.join(lacking)}: "
        f"{more if n < MIN_STATES <= n_given else COLLECT_MORE}"
    )


def note_other_baseline(given: Mapping[str, Explainer], baseline: Mapping[str, Baseline]) -> str:
    """Say whose masks were learned for another baseline than the one they are measured with."""
    learned = {name: one for name, one in given.items() if isinstance(one, MaskExplainer)}
    for name, explainer in learned.items():
        for key in explainer.covered:
            if (own := explainer.baselines[key].name) != baseline[key].name:
                return f"{name} learned its masks for the baseline {own}"
    return ""
