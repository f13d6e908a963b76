"""The parts that an explainer is fitted on, where there are only a few different observations."""

import logging

import numpy as np
import pytest
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.make import make_explainer
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.fit_parts import split_for_fit


@pytest.fixture
def few():
    """Four vectors, again and again."""
    vectors = np.eye(4, dtype=np.float32)[np.arange(80) % 4]
    return StateDataset.from_arrays(vectors, np.arange(80) // 8, vectors[:, :2].argmax(axis=1))


def test_where_all_is_known_the_validation_part_stays_with_a_line(few, caplog):
    with caplog.at_level(logging.WARNING):
        train, validation = split_for_fit(few, 0)
    assert len(train) == 64 and len(validation) == 8
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(" are in the training part, too")[0] for line in said] == [
        f"all 8 states of the {name} part (of 1 episode(s))" for name in ("validation", "test")
    ]
    assert not any("\n" in line for line in said)


def test_otherwise_it_is_the_split_of_the_states(caplog):
    states = StateDataset.from_arrays(np.arange(80.0)[:, None], np.arange(80) // 4, np.zeros(80))
    for part, other in zip(split_for_fit(states, 3), states.split(seed=3)[:2], strict=True):
        np.testing.assert_array_equal(part.indices, other.indices)
    assert not caplog.records


def test_too_few_episodes_are_still_an_error():
    states = StateDataset.from_arrays(np.arange(8.0)[:, None], np.arange(8) // 4, np.zeros(8))
    with pytest.raises(ExplainError, match="cannot be split into 3 parts"):
        split_for_fit(states, 0)


def test_an_explainer_is_fitted_all_the_same(few, tmp_path):
    agent = Agent.from_module(
        nn.Linear(4, 2), spaces.Box(0, 1, (4,), np.float32), spaces.Discrete(2)
    )
    options = {"epochs": 1, "precision": "no", "progress": False}
    explainer = make_explainer("visionmask", agent, few, tmp_path, fit_kwargs=options)
    assert explainer.attribute(few.observations([0])).shape == (1, 4)
