"""The split of every workflow: by episode, and without duplicates where there are other states."""

from __future__ import annotations

import logging

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset

logger = logging.getLogger(__name__)


def split_states(states: StateDataset, seed: int) -> tuple[StateDataset, ...]:
    """Split states 80/10/10 by episode, without test states that training states show already.

    Where nothing else is left, as in environments of a few states, they stay, and a line says so.

    :param states: states of an agent
    :param seed: random seed of the split
    :raises ExplainError: if there are fewer episodes than parts
    """
    try:
        return states.split(seed=seed)
    except ExplainError as error:
        parts = states.split(seed=seed, drop_duplicates=False)  # which fails for any other reason
        logger.warning("%s; here they are kept, and figures are of states that were seen", error)
        return parts
