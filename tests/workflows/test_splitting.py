"""The split of workflows: enough test states for an interval, where there are as many."""

import logging

import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.splitting import split_states


def numbered(n_episodes, length):
    """States of which no two are alike."""
    n = n_episodes * length
    return StateDataset.from_arrays(np.arange(float(n))[:, None], np.arange(n) // length, [0] * n)


def test_where_only_duplicates_are_left_they_stay_with_a_line(caplog):
    few = StateDataset.from_arrays(np.arange(40) % 4, np.arange(40) // 4, np.zeros(40, int))
    with caplog.at_level(logging.WARNING):
        parts = split_states(few, 0)
    assert sum(map(len, parts)) == 40
    [record] = caplog.records
    assert "in the training part, too" in record.getMessage() and "\n" not in record.getMessage()


@pytest.mark.parametrize("n_episodes", [9, 12, 19])
def test_few_episodes_still_make_a_test_part_of_five(n_episodes, caplog):
    states = numbered(n_episodes, 160)
    train, _, test = split_states(states, 3)
    assert len(np.unique(test.episode)) == 5 and len(test) == 800
    assert len(train) >= len(states) / 3
    assert not caplog.records


def test_where_the_usual_tenth_is_enough_it_is_taken(caplog):
    states = numbered(60, 60)
    for part, other in zip(split_states(states, 3), states.split(seed=3), strict=True):
        np.testing.assert_array_equal(part.indices, other.indices)
    assert not caplog.records


@pytest.mark.parametrize("n_episodes, length", [(20, 4), (8, 200)])
def test_where_it_cannot_be_had_the_tenth_is_taken_with_a_line(n_episodes, length, caplog):
    states = numbered(n_episodes, length)
    for part, other in zip(split_states(states, 3), states.split(seed=3), strict=True):
        np.testing.assert_array_equal(part.indices, other.indices)
    [record] = caplog.records
    assert record.getMessage() == (
        f"{n_episodes * length} states of {n_episodes} episodes are too few for 300 test states of "
        "5 episodes beside a third of them to learn from: collect more episodes; the usual tenth "
        "is tested on, and intervals are too narrow"
    )


def test_too_few_episodes_are_still_an_error():
    states = StateDataset.from_arrays(np.arange(8.0)[:, None], np.arange(8) // 4, np.zeros(8))
    with pytest.raises(ExplainError, match="cannot be split into 3 parts"):
        split_states(states, 0)
