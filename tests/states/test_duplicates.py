"""States of a test part that training states already show, against a loop over all pairs."""

import logging
import time

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.duplicates import find_duplicates

EPISODES, LENGTH = 20, 8


def stacked(states, positions):
    """(n, D) whole stacks as whole numbers, or as they are."""
    return states.observations(positions).flatten(1).double().numpy()


def slow(states, train, position, tolerance):
    own = stacked(states, [position])[0]
    return any((np.abs(row - own) <= tolerance).all() for row in stacked(states, train))


def game(rng, *, noise, side=20, dtype=np.uint8):
    """Episodes of a dot that wanders over one background; many begin alike."""
    background = rng.integers(0, 200, (side, side))
    frames = []
    for _ in range(EPISODES):
        y = x = 3
        for _ in range(LENGTH):
            frame = background + rng.integers(-noise, noise + 1, (side, side))
            frame[y : y + 2, x : x + 2] = 255
            frames.append(frame.clip(0, 255))
            y, x = (int(v) for v in np.clip(np.array([y, x]) + rng.integers(0, 2, 2), 0, side - 2))
    return np.stack(frames)[:, None].astype(dtype)


def dataset(frames, n_stack=2, **options):
    episode = np.repeat(np.arange(EPISODES), LENGTH)
    return StateDataset.from_arrays(
        frames, episode, np.zeros(len(episode), int), n_stack=n_stack, **options
    )


def indices(parts):
    return [part.indices for part in parts]


@pytest.mark.parametrize("noise", [0, 1, 2])
@pytest.mark.parametrize("pad", ["zeros", "repeat"])
def test_the_same_as_a_loop_over_all_pairs(noise, pad):
    states = dataset(game(np.random.default_rng(noise), noise=noise), pad=pad)
    whole = indices(states.split((0.6, 0.2, 0.2), seed=1, drop_duplicates=False))
    parts = states.split((0.6, 0.2, 0.2), seed=1)
    np.testing.assert_array_equal(parts[0].indices, whole[0])
    for part, all_of_it in zip(parts[1:], whole[1:], strict=True):
        expected = [i for i in all_of_it if not slow(states, whole[0], i, 2)]
        assert part.indices.tolist() == expected
        assert part.n_duplicates == len(all_of_it) - len(expected)
    assert (parts[2].n_duplicates > 0) == (noise < 2)  # noise of +-2 parts most pictures by 4


def test_two_gray_levels_are_near_and_three_are_not():
    frames = np.random.default_rng(0).integers(10, 240, (20, 1, 30, 30)).astype(np.uint8)
    train, near, far = frames[:10], frames[:5] + 2, frames[5:10] + 2
    far[:, 0, 7, 7] += 1
    episodes = np.repeat(np.arange(20), 1)
    states = StateDataset.from_arrays(
        np.concatenate([train, near, far]), episodes, np.zeros(20, int)
    )
    found = find_duplicates(states, np.arange(10), np.arange(10, 20))
    assert found.tolist() == [True] * 5 + [False] * 5


def test_pixels_beyond_the_last_whole_slab_count():
    frames = np.zeros((4, 1, 15, 15), np.uint8)  # 225 pixels, of which 196 make slabs
    frames[3, 0, 14, 14] = 9
    states = StateDataset.from_arrays(frames, np.arange(4), np.zeros(4, int))
    assert find_duplicates(states, np.arange(2), np.arange(2, 4)).tolist() == [True, False]


def test_pictures_of_floats_are_in_shares_of_their_range():
    frames = game(np.random.default_rng(0), noise=1).astype(np.float32) / 255
    states = dataset(frames)
    parts = states.split((0.6, 0.2, 0.2), seed=1)
    whole = indices(states.split((0.6, 0.2, 0.2), seed=1, drop_duplicates=False))
    tolerance = (2 / 255 + 1e-6) * float(frames.max() - frames.min())
    assert parts[2].indices.tolist() == [
        i for i in whole[2] if not slow(states, whole[0], i, tolerance)
    ]
    assert parts[2].n_duplicates > 0


def test_vectors_are_equal_but_for_rounding():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(5, 3)) * [1, 100, 1e-4]
    again = base * (1 + 1e-8)
    other = base + np.array([0, 0, 1e-5])
    vectors = np.concatenate([base, again, other]).astype(np.float64)
    states = StateDataset.from_arrays(vectors, np.arange(15), np.zeros(15, int))
    found = find_duplicates(states, np.arange(5), np.arange(5, 15))
    assert found.tolist() == [True] * 5 + [False] * 5


def test_all_keys_of_a_dict_have_to_be_near():
    a = np.arange(4.0)[:, None] // 2  # 0 0 1 1
    b = np.array([5, 5, 5, 6], np.uint8)[:, None, None, None]
    states = StateDataset.from_arrays({"a": a, "b": b}, np.arange(4), np.zeros(4, int))
    assert find_duplicates(states, np.array([0]), np.array([1, 2])).tolist() == [True, False]
    b[3] = 9
    states = StateDataset.from_arrays({"a": a, "b": b}, np.arange(4), np.zeros(4, int))
    assert find_duplicates(states, np.array([2]), np.array([3])).tolist() == [False]


def test_it_says_how_many(caplog):
    states = dataset(game(np.random.default_rng(0), noise=0))
    with caplog.at_level(logging.INFO):
        parts = states.split((0.6, 0.2, 0.2), seed=1)
    [line] = [record for record in caplog.records if "left out" in record.getMessage()]
    left_out = [part.n_duplicates for part in parts]
    assert left_out[0] == 0
    assert line.getMessage().startswith(f"{left_out[1]} + {left_out[2]} of ")
    assert line.levelname == "WARNING"  # they are many here
    assert parts[1].subset([0]).n_duplicates == left_out[1]


def test_a_part_of_which_nothing_is_left_is_one_line():
    frames = np.zeros((40, 1, 8, 8), np.uint8)
    states = StateDataset.from_arrays(frames, np.arange(40) // 4, np.zeros(40, int))
    with pytest.raises(ExplainError, match="are in the training part, too") as caught:
        states.split()
    assert "\n" not in str(caught.value)
    assert "drop_duplicates=False" in str(caught.value)
    assert sum(map(len, states.split(drop_duplicates=False))) == 40


def test_thousands_of_pictures_take_seconds():
    """A game whose pictures differ by one small object: the hard case for a coarse summary."""

    rng = np.random.default_rng(0)
    n = 3000
    frames = np.repeat(rng.integers(0, 200, (1, 84, 84), dtype=np.uint8), n, axis=0)
    for frame, (y, x) in zip(frames, rng.integers(0, 82, (n, 2)), strict=True):
        frame[y : y + 2, x : x + 2] = 255
    states = StateDataset.from_arrays(
        frames[:, None], np.arange(n) // 60, np.zeros(n, int), n_stack=4
    )
    start = time.process_time()
    states.split()
    assert time.process_time() - start < 10  # 1 s; a loop over all pairs takes minutes


def test_a_split_is_the_same_each_time():
    states = dataset(game(np.random.default_rng(3), noise=1))
    first, second = states.split(seed=2), states.split(seed=2)
    assert all(
        torch.equal(torch.from_numpy(a.indices), torch.from_numpy(b.indices))
        for a, b in zip(first, second, strict=True)
    )
