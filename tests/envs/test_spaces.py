"""The space of what a policy sees, against SB3's own wrappers."""

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe, Normalizer
from sb3_explain.envs.spaces import policy_space
from tests.agents.loading.models import Noise

IMAGE = spaces.Box(0, 255, (40, 50, 3), np.uint8)
VECTOR = spaces.Box(np.array([-1, -2], np.float32), np.array([3, 4], np.float32))


def normalizer(shape):
    return Normalizer(np.zeros(shape), np.ones(shape), 1e-8, 10.0)


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize(
    "space",
    [IMAGE, VECTOR, spaces.Dict(image=IMAGE, vector=VECTOR)],
    ids=["image", "vector", "dict"],
)
@pytest.mark.parametrize("normalized", [False, True])
def test_as_sb3_makes_it(space, stack, normalized):
    env = DummyVecEnv([lambda: Noise(space, spaces.Discrete(2))])
    normalizers = {}
    if normalized:
        env = VecNormalize(env)
        by_key = space.spaces if isinstance(space, spaces.Dict) else {"": space}
        normalizers = {key: normalizer(observed.shape) for key, observed in by_key.items()}
    if stack > 1:
        env = VecFrameStack(env, stack)
    if space is not VECTOR and not normalized:
        env = VecTransposeImage(env)
    recipe = EnvRecipe("Noise-v0", frame_stack=stack, normalizers=normalizers)
    assert policy_space(space, recipe) == env.observation_space


def test_discrete_observations_pass_and_cannot_be_stacked():
    space = spaces.Discrete(3)
    assert policy_space(space, EnvRecipe("Noise-v0")) == space
    with pytest.raises(ExplainError, match="cannot be stacked"):
        policy_space(space, EnvRecipe("Noise-v0", frame_stack=2))


def test_statistics_that_do_not_fit():
    with pytest.raises(ExplainError, match="do not fit Noise-v0"):
        policy_space(VECTOR, EnvRecipe("Noise-v0", normalizers={"": normalizer((3,))}))
    with pytest.raises(ExplainError, match=r"statistics are of \['other'\]"):
        policy_space(
            spaces.Dict(a=VECTOR), EnvRecipe("Noise-v0", normalizers={"other": normalizer((2,))})
        )
    with pytest.raises(ExplainError):
        policy_space(spaces.Dict(a=VECTOR), EnvRecipe("N-v0", normalizers={"": normalizer((2,))}))
