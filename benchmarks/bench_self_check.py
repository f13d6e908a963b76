"""Time of the check that an agent answers as its policy, beside making the agent without it.

Each figure is the difference of two medians, of ten agents made from one live model with the check
and of ten made without it, in turns. A first one of each is not counted.
"""

import time
from statistics import median

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO, SAC

from sb3_explain import Agent
from sb3_explain.sgqn import SGQN

N_ROUNDS = 10
MLP_MILLISECONDS = 50
IMAGE_MILLISECONDS = 500


class Still(gym.Env):
    """It shows the same observation at every step."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        return np.zeros(self.observation_space.shape, self.observation_space.dtype), {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


def milliseconds(model, self_check: bool) -> float:
    start = time.perf_counter()
    Agent.from_model(model, self_check=self_check)
    return 1000 * (time.perf_counter() - start)


def cost(model) -> float:
    """Milliseconds of the check: the difference of the medians."""
    rounds = [(milliseconds(model, True), milliseconds(model, False)) for _ in range(1 + N_ROUNDS)]
    checked, bare = zip(*rounds[1:], strict=True)
    return median(checked) - median(bare)


def run(record) -> None:
    vector = spaces.Box(-1, 1, (17,), np.float32)
    arm = spaces.Box(-1, 1, (6,), np.float32)
    frames = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    ppo = PPO("MlpPolicy", Still(vector, spaces.Discrete(6)), device="cpu")
    record("self_check.mlp", cost(ppo), "ms", f"<= {MLP_MILLISECONDS}")
    sac = SAC("MlpPolicy", Still(vector, arm), buffer_size=10, device="cpu")
    record("self_check.mlp_sac", cost(sac), "ms", f"<= {MLP_MILLISECONDS}")
    nature = PPO("CnnPolicy", Still(frames, spaces.Discrete(6)), device="cpu")
    record("self_check.image", cost(nature), "ms", f"<= {IMAGE_MILLISECONDS}")
    rgb = spaces.Box(0, 255, (9, 84, 84), np.uint8)
    sgqn = SGQN("SGQNPolicy", Still(rgb, arm), n_stack=3, buffer_size=10, device="cpu")
    record("self_check.image_sgqn", cost(sgqn), "ms", f"<= {IMAGE_MILLISECONDS}")
