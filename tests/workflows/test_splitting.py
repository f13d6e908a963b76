"""The split of workflows: enough test states for an interval, where there are as many."""

import logging

import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.fit_parts import split_for_fit
from sb3_explain.states.splitting import split_by_episode
from sb3_explain.workflows.pipeline import evaluate_to
from sb3_explain.workflows.splitting import split_states
from tests.toys import dot_agent, dot_states


def numbered(n_episodes, length):
    """States of which no two are alike."""
    n = n_episodes * length
    return StateDataset.from_arrays(np.arange(float(n))[:, None], np.arange(n) // length, [0] * n)


def test_where_only_duplicates_are_left_they_stay_with_a_line(caplog):
    few = StateDataset.from_arrays(np.arange(40) % 4, np.arange(40) // 4, np.zeros(40, int))
    with caplog.at_level(logging.WARNING):
        parts = split_states(few, 0)
    assert sum(map(len, parts)) == 40
    said = [record.getMessage() for record in caplog.records]
    for name, line in zip(("validation", "test"), said, strict=True):
        assert f"of the {name} part" in line and "in the training part, too" in line
        assert "\n" not in line


@pytest.mark.parametrize("seen", ["validation", "test"])
def test_only_the_part_that_shows_nothing_else_has_duplicates(seen, caplog):
    """Of the other one, whichever it is, those that training states show are left out."""
    lengths = [8] * 10
    episode = np.repeat(np.arange(10), lengths)
    _, validation, test = split_by_episode(episode, (0.8, 0.1, 0.1), 0)
    values = np.arange(80.0) % 8  # what the training part shows
    other = test if seen == "validation" else validation
    values[other[:5]] += 1000  # of which three are seen
    states = StateDataset.from_arrays(values[:, None], episode, np.zeros(80, int))
    parts = dict(zip(("training", "validation", "test"), split_states(states, 0), strict=True))
    other_name = "test" if seen == "validation" else "validation"
    assert len(parts[seen]) == 8 and parts[seen].n_duplicates == 0
    assert parts[other_name].indices.tolist() == other[:5].tolist()
    assert parts[other_name].n_duplicates == 3
    warned = [each.getMessage() for each in caplog.records if "all the same" in each.getMessage()]
    [line] = warned
    assert line.startswith(f"all 8 states of the {seen} part (of 1 episode(s))")
    # the parts of a fit are the same
    for part, of_fit in zip(parts.values(), split_for_fit(states, 0), strict=False):
        assert part.indices.tolist() == of_fit.indices.tolist()


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
        "5 episodes beside a third of them to learn from: collect more states (n_states=, -n), or "
        "fewer of each episode (max_per_episode=, --max-per-episode); the usual tenth "
        "is tested on, and intervals are too narrow"
    )


def test_too_few_episodes_are_still_an_error():
    states = StateDataset.from_arrays(np.arange(8.0)[:, None], np.arange(8) // 4, np.zeros(8))
    with pytest.raises(ExplainError, match="cannot be split into 3 parts"):
        split_states(states, 0)


def test_a_page_does_not_warn_of_the_number_of_states_that_is_its_default(tmp_path, caplog):
    agent = dot_agent()
    states = dot_states(agent, n=60)
    ready = {"gradient": Gradient(agent)}
    options = {"metrics": ["sparseness"], "progress": False}
    measured = evaluate_to(tmp_path, states, states, ready, **options)
    assert not caplog.text and "intervals" in measured.states["note"]
    evaluate_to(tmp_path, states, states, ready, n_evaluated=40, **options)
    assert "with 40 states" in caplog.text
