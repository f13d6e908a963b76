"""StateDataset: stacks rebuilt by index, splits by episode."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.stacks import index_stacks


def slow_stacks(frames: np.ndarray, starts: np.ndarray, n_stack: int, pad: str) -> np.ndarray:
    """What a frame-stacking wrapper would have shown, kept as a list, frame by frame."""
    stacks, recent = [], []
    for frame, start in zip(frames, starts, strict=True):
        if start:
            filler = frame if pad == "repeat" else np.zeros_like(frame)
            recent = [filler] * n_stack
        recent = [*recent[1:], frame]
        stacks.append(np.concatenate(recent))
    return np.stack(stacks)


@given(
    starts=st.lists(st.booleans(), min_size=1, max_size=40),
    n_stack=st.integers(1, 5),
    pad=st.sampled_from(["zeros", "repeat"]),
    channels=st.integers(1, 3),
)
def test_stacks_equal_a_wrapper_that_stacks_frame_by_frame(starts, n_stack, pad, channels):
    starts = np.array(starts)
    starts[0] = True
    frames = (
        np.random.default_rng(0).integers(1, 256, (len(starts), channels, 3, 2)).astype(np.uint8)
    )
    states = StateDataset(
        {"": torch.from_numpy(frames)},
        {"greedy": np.zeros(len(starts), int), "episode": starts.cumsum()},
        starts,
        n_stack=n_stack,
        pad=pad,
    )
    order = np.random.default_rng(1).permutation(len(starts))
    expected = slow_stacks(frames, starts, n_stack, pad)[order]
    np.testing.assert_array_equal(states.observations(order).numpy(), expected)
    np.testing.assert_array_equal(
        states.subset(order).observations(np.arange(len(order))), expected
    )


def test_stack_indices_by_hand():
    starts = np.array([True, False, False, True, False])
    expected = [[-1, -1, 0], [-1, 0, 1], [0, 1, 2], [-1, -1, 3], [-1, 3, 4]]
    np.testing.assert_array_equal(index_stacks(starts, 3, "zeros"), expected)
    expected = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [3, 3, 3], [3, 3, 4]]
    np.testing.assert_array_equal(index_stacks(starts, 3, "repeat"), expected)


def test_positions_evenly_and_at_random():
    states = vectors([0] * 20)
    assert states.spread(3).tolist() == [0, 9, 19]
    assert states.spread(50).tolist() == list(range(20))
    sample = states.sample(8, seed=1)
    assert len(set(sample.tolist())) == 8 and (np.diff(sample) > 0).all()
    assert np.array_equal(sample, states.sample(8, seed=1))
    assert not np.array_equal(sample, states.sample(8, seed=2))
    assert states.sample(50, seed=0).tolist() == list(range(20))


def vectors(episodes: list[int]) -> StateDataset:
    n = len(episodes)
    return StateDataset.from_arrays(np.arange(n * 2.0).reshape(n, 2), episodes, np.zeros(n, int))


@given(lengths=st.lists(st.integers(1, 50), min_size=3, max_size=40), seed=st.integers(0, 9))
def test_split_is_by_episode_disjoint_and_complete(lengths, seed):
    states = vectors(np.repeat(np.arange(len(lengths)), lengths).tolist())
    parts = states.split((0.8, 0.1, 0.1), seed=seed)
    assert all(len(part) for part in parts)
    together = np.concatenate([part.indices for part in parts])
    np.testing.assert_array_equal(np.sort(together), np.arange(len(states)))
    episodes = [set(part.episode) for part in parts]
    assert not (episodes[0] & episodes[1] | episodes[0] & episodes[2] | episodes[1] & episodes[2])


def test_split_shares_are_near_what_was_asked():
    parts = vectors(np.repeat(np.arange(50), 20).tolist()).split((0.8, 0.1, 0.1), seed=3)
    assert [len(part) for part in parts] == [800, 100, 100]


def test_split_of_too_few_episodes_is_one_clear_line():
    with pytest.raises(
        ExplainError, match=r"2 episode\(s\) cannot be split into 3 parts"
    ) as caught:
        vectors([0, 0, 1, 1]).split()
    assert "\n" not in str(caught.value)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ExplainError, match="differ in length"):
        StateDataset.from_arrays(np.zeros((3, 2)), [0, 0, 0], [0, 0])


def test_a_missing_column_is_named():
    with pytest.raises(ExplainError, match="no column 'scores'"):
        vectors([0, 1]).column("scores")


def test_steps_count_from_the_beginning_of_each_episode():
    states = StateDataset.from_arrays(np.zeros((6, 1)), [4, 4, 4, 2, 2, 7], np.zeros(6, int))
    assert states.steps.tolist() == [0, 1, 2, 0, 1, 0]
    assert states.subset([2, 4, 5]).steps.tolist() == [2, 1, 0]


def test_a_dict_of_arrays_is_a_dict_observation():
    a, b = np.arange(24.0).reshape(6, 4), np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    states = StateDataset.from_arrays(
        {"a": a, "b": b}, np.arange(6) // 3, np.zeros(6, int), n_stack=2
    )
    seen = states.observations([1, 3])
    assert seen["a"].tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 12, 13, 14, 15]]
    assert seen["b"][:, :, 0, 0].tolist() == [[0, 1], [0, 3]]
    with pytest.raises(ExplainError, match=r"the arrays differ in length: .*'frames b': 5"):
        StateDataset.from_arrays({"a": a, "b": b[:5]}, np.arange(6) // 3, np.zeros(6, int))


@pytest.mark.parametrize(
    "fractions", [(), (80, 10, 10), (0.5, 0.6), (1.0, 0.0), (1.5, -0.5), (0.5,)]
)
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(ExplainError, match=r"^fractions=.*add up to 1$"):
        vectors(np.repeat(np.arange(50), 20).tolist()).split(fractions)
