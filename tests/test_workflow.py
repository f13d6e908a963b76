"""Which states are shown, and what stands in their pictures."""

import numpy as np

from sb3_explain.states import StateDataset
from sb3_explain.workflow import pictures_of, telling_states
from tests.toys import dot_agent


def states(scores: np.ndarray) -> StateDataset:
    frames = np.arange(len(scores) * 4, dtype=np.uint8).reshape(len(scores), 1, 2, 2)
    return StateDataset.from_arrays(
        frames, np.zeros(len(scores), int), scores.argmax(axis=1), scores=scores
    )


def test_the_clearest_state_of_each_frequent_action_is_shown():
    scores = np.zeros((7, 3), np.float32)
    scores[:4, 0] = [1.0, 5.0, 2.0, 0.5]
    scores[4:6, 2] = [1.0, 3.0]
    scores[6, 1] = 9.0
    shown = states(scores)
    assert telling_states(shown, dot_agent(), n=2) == [1, 5]
    assert telling_states(shown, dot_agent(), n=3) == [1, 5, 6]


def test_without_rendered_frames_the_agent_s_own_are_shown():
    shown = states(np.eye(3, dtype=np.float32))
    pictures = pictures_of(shown, np.array([2, 0]))
    assert pictures.shape == (2, 2, 2, 3) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[0, ..., 1], [[8, 9], [10, 11]])
