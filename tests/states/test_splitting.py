"""A test part that is larger than its share, so that an interval can be made of it."""

import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.duplicates import find_duplicates
from sb3_explain.states.splitting import split_by_episode

LENGTHS = np.array([30, 12, 25, 40, 18, 22, 35, 15, 28, 20, 33, 26])


def half_seen(seed=0):
    """Vectors of 12 episodes, half of which stand in several episodes."""
    rng = np.random.default_rng(seed)
    n = LENGTHS.sum()
    values = np.where(rng.random(n) < 0.5, rng.integers(0, 40, n), 1000 + np.arange(n))
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    return StateDataset.from_arrays(values[:, None].astype(float), episode, np.zeros(n, int))


def slow(states, seed, min_episodes, min_states):
    """The same by trying each number of test episodes, with a loop over all pairs."""
    usual = len(split_by_episode(states.episode, (0.8, 0.1, 0.1), seed)[0])
    for n_test in range(max(1, min_episodes), len(LENGTHS)):
        train, _, test = split_by_episode(states.episode, (0.8, 0.1, 0.1), seed, n_test)
        if len(train) < min(usual, len(states) / 3):
            return None
        seen = set(states.observations(train).flatten().tolist())
        left = [i for i in test if float(states.observations([i])) not in seen]
        if len(left) >= min_states and len(set(states.episode[left])) >= min_episodes:
            return train.tolist(), left
    return None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("min_episodes, min_states", [(5, 0), (0, 60), (4, 90), (1, 1), (6, 20)])
def test_the_same_as_trying_every_number_of_episodes(seed, min_episodes, min_states):
    states = half_seen(seed)
    expected = slow(states, seed, min_episodes, min_states)
    asked = {"min_test_episodes": min_episodes, "min_test_states": min_states}
    if expected is None:
        with pytest.raises(ExplainError, match="too few for"):
            states.split(seed=seed, **asked)
        return
    train, validation, test = states.split(seed=seed, **asked)
    assert (train.indices.tolist(), test.indices.tolist()) == expected
    assert len(validation) and not set(validation.episode) & {*train.episode, *test.episode}
    assert not find_duplicates(states, train.indices, test.indices).any()


def test_some_of_them_ask_for_more_than_the_share():
    asked = [slow(half_seen(seed), seed, 5, 90) for seed in range(4)]
    usual = [half_seen(seed).split(seed=seed)[2] for seed in range(4)]
    assert any(it and len(it[1]) > len(test) for it, test in zip(asked, usual, strict=True))


def test_what_is_asked_for_is_counted_without_duplicates():
    states = half_seen()
    new = states.split(min_test_states=60)[2]
    all_of_them = states.split(min_test_states=60, drop_duplicates=False)[2]
    assert len(new) >= 60 and new.n_duplicates > 0 and len(all_of_them) >= 60
    assert len(np.unique(all_of_them.episode)) < len(np.unique(new.episode))


def test_a_third_stays_to_learn_from():
    states = half_seen()
    message = f"{LENGTHS.sum()} states of 12 episodes are too few for 0 test states of 9 episodes"
    with pytest.raises(ExplainError, match=message) as caught:
        states.split(min_test_episodes=9)
    assert "\n" not in str(caught.value)
    with pytest.raises(ExplainError, match="too few for 0 test states of 40 episodes"):
        states.split(min_test_episodes=40)
    # a first part that is asked to be small may be
    assert len(states.split((0.1, 0.1, 0.8), min_test_episodes=5)[0]) < len(states) / 3
