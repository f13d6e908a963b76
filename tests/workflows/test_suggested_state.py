"""The state that a next command names: one where an action still matters, and why."""

import numpy as np
import pytest

from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.highlights import Highlight
from sb3_explain.workflows.suggested_state import suggest_state, suggest_state_of


def played(lengths, **columns) -> StateDataset:
    n = sum(lengths)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    return StateDataset.from_arrays(np.zeros((n, 2), np.float32), episode, np.zeros(n), **columns)


def of(states, position, start, stop) -> Highlight:
    return Highlight(position, start, stop, 1.0)


#: of two episodes of 20 and 12 states; the value falls at steps 7 and 18 of the first
VALUES = np.r_[[9.0] * 8, [5.0] * 11, [-9.0], [30.0] * 12]


def test_the_last_step_gives_way_to_the_largest_drop_before_it():
    states = played([20, 12], values=VALUES)
    position, why = suggest_state_of(states, of(states, 19, 0, 20))
    assert position == 7
    assert why == (
        "step 7 of episode 0, 12 steps before its last, where the value falls most: from 9 to 5"
    )
    # too late is too late, however far the value falls: 18 is one step before the last
    assert suggest_state_of(states, of(states, 18, 0, 20))[0] == 7


def test_an_important_state_with_time_left_is_asked_about():
    states = played([20, 12], values=VALUES)
    assert suggest_state_of(states, of(states, 14, 4, 20)) == (
        14,
        "step 14 of episode 0, 5 steps before its last, the most important state",
    )


@pytest.mark.parametrize(
    "columns", [{}, {"values": np.full(32, np.nan)}, {"values": np.arange(32)}]
)
def test_without_a_drop_it_is_amid_what_is_shown(columns):
    position, why = suggest_state_of(played([20, 12], **columns), of(None, 31, 20, 32))
    assert position == 23 and why == "step 3 of episode 1, 8 steps before its last"


def test_a_value_that_hardly_falls_is_said_to_expect_nothing():
    flat = -27.9 - 0.001 * np.arange(32)
    _, why = suggest_state(played([20, 12], values=flat))
    assert why.endswith("hardly falls anywhere: the agent expects no loss")


def test_where_all_is_late_it_is_the_earliest():
    position, why = suggest_state_of(played([20, 3], values=np.zeros(23)), of(None, 22, 20, 23))
    assert position == 20
    assert why == "step 0 of episode 1, 2 steps before its last, before it is too late"


def test_of_all_states_no_fall_between_episodes_counts():
    assert suggest_state(played([20, 12], values=VALUES))[0] == 7
    assert suggest_state(played([12, 20], values=np.r_[[30.0] * 12, VALUES[:20]]))[0] == 19
    assert suggest_state(played([1]))[0] == 0
