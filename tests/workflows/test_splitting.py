"""The split of workflows: environments of a few states can still be explained."""

import logging

import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.splitting import split_states


def test_where_only_duplicates_are_left_they_stay_with_a_line(caplog):
    few = StateDataset.from_arrays(np.arange(40) % 4, np.arange(40) // 4, np.zeros(40, int))
    with caplog.at_level(logging.WARNING):
        parts = split_states(few, 0)
    assert sum(map(len, parts)) == 40
    [record] = caplog.records
    assert "in the training part, too" in record.getMessage() and "\n" not in record.getMessage()


def test_otherwise_it_is_the_split_of_the_states():
    states = StateDataset.from_arrays(np.arange(80.0)[:, None], np.arange(80) // 4, np.zeros(80))
    for part, other in zip(split_states(states, 3), states.split(seed=3), strict=True):
        np.testing.assert_array_equal(part.indices, other.indices)


def test_too_few_episodes_are_still_an_error():
    states = StateDataset.from_arrays(np.arange(8.0)[:, None], np.arange(8) // 4, np.zeros(8))
    with pytest.raises(ExplainError, match="cannot be split into 3 parts"):
        split_states(states, 0)
