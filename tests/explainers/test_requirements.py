"""Each requirement says why an agent is not supported, and nothing of one that is."""

import numpy as np
import pytest
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent
from sb3_explain.explainers import requirements

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (1, 8, 8), np.uint8)
TWO = spaces.Discrete(2)


def make(observation_space, action_space=TWO, *layers):
    n_inputs = int(np.prod(observation_space.shape or (1,)))
    n_scores = 2
    layers = layers or (nn.Flatten(), nn.Linear(n_inputs, n_scores))
    return Agent.from_module(nn.Sequential(*layers), observation_space, action_space)


CONVOLUTIONS = (nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))


@pytest.mark.parametrize(
    ("needs", "supported", "refused", "because"),
    [
        ("needs_image", lambda: make(IMAGE), lambda: make(VECTOR), "images"),
        ("needs_features", lambda: make(VECTOR), lambda: make(IMAGE), "observes images"),
        (
            "needs_probabilities",
            lambda: make(VECTOR),
            lambda: make(VECTOR, spaces.Box(-1, 1, (2,), np.float32)),
            "continuous",
        ),
        (
            "needs_numbers",
            lambda: make(VECTOR),
            lambda: make(spaces.Discrete(4), TWO, nn.Embedding(4, 2)),
            "category",
        ),
        (
            "needs_relu",
            lambda: make(IMAGE, TWO, *CONVOLUTIONS),
            lambda: make(VECTOR),
            "ReLUs",
        ),
        (
            "needs_convolution",
            lambda: make(IMAGE, TWO, *CONVOLUTIONS),
            lambda: make(VECTOR),
            "nn.Conv2d",
        ),
    ],
)
def test_a_requirement(needs, supported, refused, because):
    require = getattr(requirements, needs)
    assert require(supported()) is None
    reason = require(refused())
    assert because in reason and "\n" not in reason
