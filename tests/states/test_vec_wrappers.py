"""What an agent observes behind VecNormalize, VecFrameStack and VecTransposeImage."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import policy_space
from sb3_explain.states.collection import collect

PICTURE = spaces.Box(0, 255, (36, 40, 1), np.uint8)
VECTOR = spaces.Box(-3, 3, (3,), np.float32)
SPACES = {
    "vector": VECTOR,
    "doubles": spaces.Box(-3, 3, (3,), np.float64),
    "picture": PICTURE,
    "channels first": spaces.Box(0, 255, (3, 36, 40), np.uint8),
    "grid": spaces.Box(-3, 3, (2, 5), np.float32),
    "planes": spaces.Box(-3, 3, (2, 5, 4), np.float32),
    "dict": spaces.Dict(picture=PICTURE, vector=VECTOR),
}
STEPS = 7


class Steps(gym.Env):
    """What is observed depends on the number of the step alone; an episode has seven."""

    def __init__(self, kind="vector", render_mode=None):
        # VecNormalize changes the pictures of a Dict space in place
        self.observation_space = copy.deepcopy(SPACES[kind])
        self.sampled = copy.deepcopy(SPACES[kind])
        self.action_space = spaces.Discrete(2)
        self.t = 0

    def _observe(self):
        self.sampled.seed(self.t)
        return self.sampled.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action):
        self.t += 1
        return self._observe(), 1.0, self.t == STEPS, False, {}


gym.register("Steps-v0", entry_point=Steps)

ORDERS = {
    "normalize": lambda env: VecNormalize(env),
    "stack": lambda env: VecFrameStack(env, 3),
    "stack first": lambda env: VecFrameStack(env, 3, channels_order="first"),
    "stack last": lambda env: VecFrameStack(env, 3, channels_order="last"),
    "normalize, stack": lambda env: VecFrameStack(VecNormalize(env, clip_obs=1.5), 3),
    "normalize, stack first": lambda env: VecFrameStack(VecNormalize(env), 3, "first"),
    "stack, normalize": lambda env: VecNormalize(VecMonitor(VecFrameStack(env, 3))),
    "stack first, normalize": lambda env: VecNormalize(VecFrameStack(env, 3, "first")),
    "transpose, normalize": lambda env: VecNormalize(VecTransposeImage(env)),
    "transpose, stack, normalize": lambda env: VecNormalize(
        VecFrameStack(VecTransposeImage(env), 3), norm_reward=False
    ),
    "rewards only": lambda env: VecNormalize(env, norm_obs=False),
    "one key": lambda env: VecNormalize(VecFrameStack(env, 3), norm_obs_keys=["vector"]),
}


WITH_NORMALIZE = ("normalize", "normalize, stack", "stack, normalize")
CASES = {
    "vector": (*WITH_NORMALIZE, "stack", "stack first", "rewards only"),
    "doubles": WITH_NORMALIZE,
    "picture": (*WITH_NORMALIZE, "stack", "transpose, normalize", "transpose, stack, normalize"),
    "channels first": ("stack", "normalize, stack first", "stack first, normalize"),
    "grid": ("normalize, stack", "stack", "stack first", "stack, normalize"),
    "planes": ("stack", "stack first, normalize", "normalize, stack first"),
    "dict": ("normalize, stack", "stack", "stack, normalize", "one key", "transpose, normalize"),
}


class Flat(BaseFeaturesExtractor):
    """All keys side by side."""

    def __init__(self, space):
        super().__init__(space, sum(int(np.prod(each.shape)) for each in space.spaces.values()))

    def forward(self, observations):
        return torch.cat([each.flatten(1) for each in observations.values()], dim=1)


def play_with_sb3(model, n):
    """(n, ...) observations of SB3's own environments by key, and its actions."""
    env = model.get_env()
    normalizing = model.get_vec_normalize_env()
    if normalizing is not None:
        env.reset()
        for _ in range(20):  # statistics that are not those of one step
            env.step(np.array([0]))
        normalizing.training = False
    observed, seen = env.reset(), []
    for _ in range(n):
        by_key = observed if isinstance(observed, dict) else {"": observed}
        seen.append({key: each[0].copy() for key, each in by_key.items()})
        observed, *_ = env.step(model.predict(observed, deterministic=True)[0])
    return {key: np.stack([each[key] for each in seen]) for key in seen[0]}


@pytest.mark.parametrize(
    ("kind", "order"), [(kind, order) for kind, orders in CASES.items() for order in orders]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_observations_are_those_of_sb3(kind, order, tmp_path):
    env = ORDERS[order](DummyVecEnv([lambda: gym.make("Steps-v0", kind=kind)]))
    policy, extractor = "MlpPolicy", FlattenExtractor
    if kind == "dict":
        policy, extractor = "MultiInputPolicy", Flat
    kwargs = {"features_extractor_class": extractor, "normalize_images": False, "net_arch": []}
    model = PPO(policy, env, n_steps=8, batch_size=8, device="cpu", policy_kwargs=kwargs)
    n = 2 * STEPS + 3
    expected = play_with_sb3(model, n)
    agent = Agent.from_model(model)
    raw = agent.recipe.make().observation_space
    assert policy_space(raw, agent.recipe) == model.observation_space
    states = collect(
        agent,
        n_states=n,
        folder=tmp_path / "states",
        n_envs=1,
        max_per_episode=0,
        render=False,
        progress=False,
    )
    observed = states.observations(np.arange(n))
    by_key = observed if isinstance(observed, dict) else {"": observed}
    assert sorted(by_key) == sorted(expected)
    for key, theirs in expected.items():
        ours = by_key[key].numpy()
        assert ours.shape == theirs.shape
        # doubles that VecNormalize leaves alone reach a policy as floats
        np.testing.assert_array_equal(ours, theirs.astype(ours.dtype))
    newest = states.frames_by_key()
    for key, frames in newest.items():
        assert frames.shape[1] * states.n_stack == by_key[key].shape[1]
        np.testing.assert_array_equal(frames, by_key[key][:, -frames.shape[1] :])
