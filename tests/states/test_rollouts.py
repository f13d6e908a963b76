"""Parallel environments play as the zoo plays: greedy, but sampled on Atari and MiniGrid."""

import numpy as np
import pytest

from sb3_explain import EnvRecipe, ExplainError
from sb3_explain.states.env_sources import is_sampled_in_zoo
from sb3_explain.states.environments import ZOO_EPSILON, open_parallel_envs
from tests.toys import dot_agent

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"


@pytest.mark.parametrize(
    ("recipe", "sampled"),
    [
        (EnvRecipe("CartPole-v1"), False),
        (EnvRecipe("PongNoFrameskip-v4", wrappers=((ATARI, {}),)), True),
        (EnvRecipe("MiniGrid-Empty-5x5-v0"), True),
    ],
)
def test_where_the_zoo_samples(recipe, sampled):
    assert is_sampled_in_zoo(recipe) is sampled


@pytest.mark.parametrize(
    ("deterministic", "sampled"), [(None, False), (True, False), (False, True)]
)
def test_how_actions_are_drawn(deterministic, sampled):
    agent = dot_agent()
    envs = open_parallel_envs(agent, 2, deterministic=deterministic)
    try:
        assert (envs.sampled, envs.epsilon) == (sampled, 0.0)
    finally:
        envs.close()


def test_q_values_are_no_probabilities():
    agent = dot_agent()
    agent.view.value_based = True
    envs = open_parallel_envs(agent, 2, deterministic=False)
    try:
        assert (envs.sampled, envs.epsilon) == (False, ZOO_EPSILON)
    finally:
        envs.close()


def test_environments_begin_from_their_own_seeds():
    agent = dot_agent()
    envs = [open_parallel_envs(agent, 2, seed=seed) for seed in (0, 0, 1)]
    try:
        for some in envs:
            for number, env in enumerate(some.each):
                env.begin(number)
        first, again, other = (some.observations().numpy() for some in envs)
        assert np.array_equal(first, again) and not np.array_equal(first, other)
        assert not np.array_equal(first[0], first[1])
    finally:
        for some in envs:
            some.close()


def test_without_an_environment_it_is_one_line():
    agent = dot_agent()
    agent.recipe = None
    with pytest.raises(ExplainError, match="name one with env="):
        open_parallel_envs(agent, 1)
