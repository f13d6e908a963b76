"""What metrics.json says of the kind of agent, and that a share of few features shows one."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent
from sb3_explain.common.attributions import highest
from sb3_explain.evaluation.kind import describe_kind
from tests.explainers.kinds import random_states
from tests.toys import dot_agent


@pytest.mark.parametrize(
    ("actions", "value_based", "measure"),
    [
        (spaces.Discrete(2), False, "probability"),
        (spaces.Discrete(2), True, "softmax of Q"),
        (spaces.Box(-1, 1, (2,)), False, "similarity"),
    ],
)
def test_vectors(actions, value_based, measure):
    agent = Agent.from_module(
        nn.Linear(3, 2), spaces.Box(-1, 1, (3,)), actions, value_based=value_based
    )
    batch = random_states(agent).batch(agent, [0, 1])
    assert describe_kind(batch) == {"pictures": False, "n_features": 3, "measure": measure}


def test_pictures():
    agent = dot_agent()
    batch = random_states(agent).batch(agent, [0])
    n = int(np.prod(agent.observation_space.shape))
    assert describe_kind(batch) == {"pictures": True, "n_features": n, "measure": "probability"}


@pytest.mark.parametrize(
    ("n", "share", "shown"), [(4, 0.1, 1), (2, 0.1, 1), (17, 0.1, 2), (4, 0.0, 0), (4, 1.0, 4)]
)
def test_a_share_shows_a_feature_at_least(n, share, shown):
    ordering = torch.arange(n).flip(0)[None]
    mask = highest(ordering, share)
    assert mask.sum() == shown
    assert mask[0, n - shown :].all()
