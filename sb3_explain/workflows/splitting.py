"""The split of every workflow: by episode, and into a test part that an interval can be made of."""

from __future__ import annotations

import logging
from typing import Any

from sb3_explain.common.bootstrap import ENOUGH_EPISODES, NARROW
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.evaluation.notes import MIN_STATES
from sb3_explain.states.dataset import StateDataset

logger = logging.getLogger(__name__)

#: how states are split, from what is best to what can always be had, and what that costs
WAYS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"min_test_episodes": ENOUGH_EPISODES, "min_test_states": MIN_STATES}, ""),
    ({}, f"the usual tenth is tested on, and {NARROW}"),
    # a part that shows nothing else has its duplicates, and the split says so; no other part has
    ({"drop_duplicates": "unless_all"}, ""),
)


@check_arguments
def split_states(states: StateDataset, seed: int = 0) -> tuple[StateDataset, ...]:
    """Split states 80/10/10 by episode, without test states that training states show already.

    Where the tenth for tests is less than an interval needs, the test part takes more episodes of
    the training part. Where too few states are left, as in environments of a few states, a line
    says so.

    >>> from sb3_explain import split_states
    >>> train, validation, test = split_states(states, seed=0)
    >>> len(train) > len(test)
    True

    :param states: states of an agent
    :param seed: random seed of the split
    :return: states to learn from, to decide when learning ends, and to measure on
    :raises ExplainError: if there are fewer episodes than parts
    """
    reason = ""
    for options, price in WAYS:
        try:
            parts = states.split(seed=seed, **options)
        except ExplainError as error:
            reason = str(error)
            continue
        if reason and price:
            logger.warning("%s; %s", reason, price)
        return parts
    raise ExplainError(reason)
