"""What is said beside measured numbers: why they tell less than they seem to."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sb3_explain.common.bootstrap import ENOUGH_EPISODES
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.states.baselines import Baseline

logger = logging.getLogger(__name__)

#: with fewer states than this, an interval is too narrow, as with few episodes
MIN_STATES = 300


def note_if_narrow(n: int, episodes: int) -> str:
    """Say why intervals of ``n`` states are too narrow; nothing if they are not."""
    if n >= MIN_STATES and episodes >= ENOUGH_EPISODES:
        return ""
    return (
        f"the interval is too narrow: {n} states of {episodes} episode(s), and at least "
        f"{MIN_STATES} of {ENOUGH_EPISODES} are needed"
    )


def warn_if_narrow(n: int, n_given: int, episodes: int) -> None:
    """Warn before anything is measured that intervals will be too narrow.

    :param n: number of states that will be measured
    :param n_given: number of states that could be
    :param episodes: number of episodes that the measured states are of
    """
    if note_if_narrow(n, episodes):
        more = f"measure more of the {n_given} states (n_evaluated=, --n-evaluated)"
        logger.warning(
            "intervals will be too narrow, %d states of %d episode(s): %s, at least %d of %d "
            "episodes",
            n,
            episodes,
            more if n_given >= MIN_STATES and n < MIN_STATES else "collect more",
            MIN_STATES,
            ENOUGH_EPISODES,
        )


def note_other_baseline(given: Mapping[str, Explainer], baseline: Mapping[str, Baseline]) -> str:
    """Say whose masks were learned for another baseline than the one they are measured with."""
    learned = {name: one for name, one in given.items() if isinstance(one, MaskExplainer)}
    for name, explainer in learned.items():
        for key in explainer.covered:
            if (own := explainer.baselines[key].name) != baseline[key].name:
                return f"{name} learned its masks for the baseline {own}"
    return ""
