"""Small environments and agents whose behaviour is known."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.states.dataset import StateDataset

SIZE = 24


class DotEnv(gym.Env[np.ndarray, int]):
    """A bright dot moves at random in the left half of a noisy picture; an episode has 40 steps."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 1), np.uint8)
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.dot = self.np_random.integers(2, SIZE // 2 - 2, size=2)
        return self._picture(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        move = self.np_random.integers(-1, 2, size=2) + np.array([0, int(action) - 1])
        self.dot = np.clip(self.dot + move, 2, SIZE // 2 - 3)
        return self._picture(), float(action == 1), False, self.steps == 40, {}

    def _picture(self) -> np.ndarray:
        picture = self.np_random.integers(0, 60, size=(SIZE, SIZE, 1)).astype(np.uint8)
        y, x = self.dot
        picture[y - 1 : y + 2, x - 1 : x + 2] = 255
        return picture

    def render(self) -> np.ndarray:
        picture = np.zeros((2 * SIZE, 2 * SIZE, 3), np.uint8)
        y, x = 2 * self.dot
        picture[y - 2 : y + 4, x - 2 : x + 4] = (255, 200, 0)
        return picture


if "Dot-v0" not in gym.registry:
    gym.register("Dot-v0", entry_point=f"{__name__}:DotEnv")


class ThirdsNet(nn.Module):
    """Scores three actions by the brightness of three columns of the left half's newest frame.

    The right half and the older frames do not matter, whatever they show.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(60.0))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        newest = observations[:, -1, :, : SIZE // 2] / 255
        bright = torch.relu(newest - 0.5)
        parts = torch.stack([part.mean(dim=(1, 2)) for part in bright.split(SIZE // 6, dim=2)], 1)
        return self.gain * parts, parts.sum(dim=1)


def dot_agent(n_stack: int = 2) -> Agent:
    """The agent of :class:`ThirdsNet` in :class:`DotEnv`."""
    return Agent.from_module(
        ThirdsNet(),
        spaces.Box(0, 255, (n_stack, SIZE, SIZE), np.uint8),
        spaces.Discrete(3),
        action_names=["left", "stay", "right"],
        recipe=EnvRecipe("Dot-v0", frame_stack=n_stack),
    )


def dot_states(agent: Agent, n: int = 600, seed: int = 0, length: int = 20) -> StateDataset:
    """States of short random episodes, without playing: for tests of what comes after."""
    env = DotEnv()
    frames = []
    for episode in range(-(-n // length)):
        frames.append(env.reset(seed=1000 * seed + episode)[0])
        for _ in range(length - 1):
            frames.append(env.step(env.np_random.integers(3))[0])
    pictures = np.stack(frames[:n]).transpose(0, 3, 1, 2)
    episodes = np.arange(n) // length
    blank = StateDataset.from_arrays(pictures, episodes, np.zeros(n, int), n_stack=agent.n_stack)
    greedy = agent.greedy(blank.observations(np.arange(n))).numpy()
    return StateDataset.from_arrays(pictures, episodes, greedy, n_stack=agent.n_stack)
