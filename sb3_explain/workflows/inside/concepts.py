"""Quantities of states that are known without asking anybody: what linear probes look for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.spaces import split_keys
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.step_columns import compute_columns

Array = NDArray[np.float64]
#: a concept's name, or (n,) numbers of it; several of both
Labels = str | Sequence[str] | Mapping[str, Any] | NDArray[Any] | None
#: most features of an observation that are concepts by themselves: those that vary most often
MOST_FEATURES = 8


def list_concepts(
    agent: Agent, states: StateDataset, positions: NDArray[np.int64]
) -> dict[str, Array]:
    """List what is known of states, (m,) numbers by name, NaN where they are not known.

    What never changes is left out.

    These are the agent's value, the discounted return to come, the reward and the entropy of the
    policy as far as the states have them, the step of the episode, and features of the observation.

    :param agent: the agent of the states
    :param states: states of episodes, one after the other
    :param positions: (m,) positions of those that are probed
    """
    known: dict[str, Array] = {}
    with contextlib.suppress(ExplainError):  # states of arrays may lack the columns
        columns = compute_columns(agent, states)
        same = np.diff(states.episode) == 0
        if (np.diff(states.steps)[same] != 1).any():  # what comes after a state is left out
            columns.pop("return_to_come", None)
        known = {name.replace("_", " "): each[positions] for name, each in columns.items()}
        known.pop("advantage", None)  # mostly chance
    known["step"] = states.steps[positions].astype(np.float64)
    sizes = find_feature_keys(agent)
    if sizes:
        seen = agent.layout.arrange(split_keys(states.observations(positions)))
        values = show_values(agent, {key: seen[key] for key in sizes}).numpy()
        named = dict(zip(name_features(agent, sizes), values.T, strict=True))
        n_values = {name: len(np.unique(each)) for name, each in named.items()}
        for name in sorted(named, key=lambda name: -n_values[name])[:MOST_FEATURES]:
            known.setdefault(name, named[name])
    return {name: each for name, each in known.items() if _changes(each)}


def read_labels(
    agent: Agent, states: StateDataset, labels: Labels, positions: NDArray[np.int64]
) -> dict[str, Array]:
    """Read which concepts are looked for, (m,) numbers by name, NaN where they are not known.

    :param agent: the agent of the states
    :param states: the states
    :param labels: what a user gave, see :func:`sb3_explain.linear_probe`
    :param positions: (m,) positions of the states that are probed
    :raises ExplainError: for an unknown name, or numbers that are not one for each state, infinite,
        or all the same
    """
    if labels is None or isinstance(labels, str) or _are_names(labels):
        known = list_concepts(agent, states, positions)
        names = list(known) if labels is None else [labels] if isinstance(labels, str) else labels
        require_known("concept", names, known)
        read = {str(name): known[str(name)] for name in names}
    else:
        given = labels if isinstance(labels, Mapping) else {"concept": labels}
        n = len(states)
        read = {
            str(name): _read_numbers(str(name), one, n)[positions] for name, one in given.items()
        }
    if not read:
        raise ExplainError("there is no concept to look for: give labels={'name': numbers}")
    for name, numbers in read.items():
        if not _changes(numbers):
            first = next(iter(numbers[np.isfinite(numbers)]), np.nan)
            raise ExplainError(
                f"{quote(name)} is {first:.4g} in all {len(numbers)} states: a probe needs a "
                "concept that changes"
            )
    return read


def _changes(numbers: Array) -> bool:
    known = numbers[np.isfinite(numbers)]
    return len(known) > 0 and bool(np.ptp(known) > 0)


def _are_names(labels: Any) -> bool:
    return isinstance(labels, list | tuple) and all(isinstance(each, str) for each in labels)


def _read_numbers(name: str, given: Any, n: int) -> Array:
    try:
        numbers = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ExplainError(
            f"labels of {quote(name)} are no numbers: give one for each state"
        ) from None
    if numbers.shape != (n,):
        raise ExplainError(
            f"labels of {quote(name)} are of shape {numbers.shape} for {n} states: give one number "
            "for each state"
        )
    if np.isinf(numbers).any():
        raise ExplainError(
            f"labels of {quote(name)} are infinite in {int(np.isinf(numbers).sum())} states: give "
            "NaN where they are not known"
        )
    return numbers
