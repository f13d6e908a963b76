"""The parts of states that an explainer is fitted on."""

from __future__ import annotations

from sb3_explain.states.dataset import StateDataset


def split_for_fit(states: StateDataset, seed: int) -> tuple[StateDataset, StateDataset]:
    """Return the training and validation part of ``states.split(seed=seed)``.

    Where training states show all validation states already, as in environments of a few states,
    the validation part has them all the same, and a line says so: it decides when to stop, and
    tests nothing.

    :param states: states of an agent
    :param seed: random seed of the split
    :raises ExplainError: if there are fewer episodes than parts
    """
    train, validation, _ = states.split(seed=seed, drop_duplicates="unless_all")
    return train, validation
