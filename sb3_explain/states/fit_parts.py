"""The parts of states that an explainer is fitted on."""

from __future__ import annotations

import logging

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset

logger = logging.getLogger(__name__)


def split_for_fit(states: StateDataset, seed: int) -> tuple[StateDataset, StateDataset]:
    """Return the training and validation part of ``states.split(seed=seed)``.

    Where training states show all others already, as in environments of a few states, the
    validation part keeps them, and a line says so: it decides when to stop, and tests nothing.

    :param states: states of an agent
    :param seed: random seed of the split
    :raises ExplainError: if there are fewer episodes than parts
    """
    try:
        train, validation, _ = states.split(seed=seed)
    except ExplainError as error:
        # which fails for any other reason
        train, validation, _ = states.split(seed=seed, drop_duplicates=False)
        logger.warning("%s; the fit is validated on states that it has seen", error)
    return train, validation
