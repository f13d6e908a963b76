"""A pixel task of continuous actions: a point to steer to a goal. What matters is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from sb3_explain.sgqn.attribution import binarize
from sb3_explain.sgqn.overlays import draw_textures

SIZE, N_STACK, N_STEPS, SPEED = 32, 3, 25, 0.08
POINT, GOAL = 2.6, 3.6  # radii in pixels
#: further from the goal than this there is no reward
REACH = 0.35


class PointEnv(gym.Env[np.ndarray, np.ndarray]):
    """A white point moves by up to 0.08 of the picture a step; the goal is green.

    The reward is 1 on the goal and falls linearly to 0 at a distance of 0.35 of the picture. Three
    frames are stacked, channels first, oldest first; the first is repeated.

    :param backgrounds: (P, 3, SIZE, SIZE) uint8, of which every episode has one; black without
    :param low: bounds of the actions, which are scaled to [-1, 1]
    :param high: the same
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        backgrounds: np.ndarray | None = None,
        low: tuple[float, float] = (-1, -1),
        high: tuple[float, float] = (1, 1),
        render_mode: str | None = None,
    ) -> None:
        self.backgrounds = backgrounds
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (3 * N_STACK, SIZE, SIZE), np.uint8)
        self.action_space = spaces.Box(np.float32(low), np.float32(high))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.point, self.goal = self.np_random.uniform(0.15, 0.85, (2, 2))
        self.background = np.zeros((3, SIZE, SIZE), np.uint8)
        if self.backgrounds is not None:
            self.background = self.backgrounds[self.np_random.integers(len(self.backgrounds))]
        self.frames = [self._frame()] * N_STACK
        self.discs = [self._discs()] * N_STACK
        return np.concatenate(self.frames), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        low, high = self.action_space.low, self.action_space.high
        scaled = np.clip(2 * (action - low) / (high - low) - 1, -1, 1)
        self.point = np.clip(self.point + SPEED * scaled, 0.1, 0.9)
        self.steps += 1
        self.frames = [*self.frames[1:], self._frame()]
        self.discs = [*self.discs[1:], self._discs()]
        distance = np.linalg.norm(self.point - self.goal)
        reward = max(0.0, 1 - float(distance) / REACH)
        return np.concatenate(self.frames), reward, False, self.steps == N_STEPS, {}

    def best_action(self) -> np.ndarray:
        """Straight to the goal."""
        low, high = self.action_space.low, self.action_space.high
        scaled = np.clip((self.goal - self.point) / SPEED, -1, 1)
        return (low + (scaled + 1) / 2 * (high - low)).astype(np.float32)

    def relevant(self) -> np.ndarray:
        """(3 * N_STACK, SIZE, SIZE) the point and the goal in each frame, with a rim of a pixel."""
        return np.stack(self.discs).repeat(3, axis=0)

    def _discs(self) -> np.ndarray:
        return disc(self.point, POINT + 1) | disc(self.goal, GOAL + 1)

    def _frame(self) -> np.ndarray:
        frame = self.background.copy()
        frame[:, disc(self.goal, GOAL)] = np.array([[40], [220], [60]])
        frame[:, disc(self.point, POINT)] = 255
        return frame

    def render(self) -> np.ndarray:
        return self._frame().transpose(1, 2, 0).repeat(4, 0).repeat(4, 1)


def disc(center: np.ndarray, radius: float) -> np.ndarray:
    """(SIZE, SIZE) the pixels within a radius; the centre is (y, x) in [0, 1]."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return (y - center[0] * (SIZE - 1)) ** 2 + (x - center[1] * (SIZE - 1)) ** 2 <= radius**2


if "Point-v0" not in gym.registry:
    gym.register("Point-v0", entry_point=f"{__name__}:PointEnv")

#: networks that fit the small picture
SMALL = {
    "n_layers": 4,
    "n_filters": 16,
    "features_dim": 32,
    "net_arch": [64, 64],
}


class Played(NamedTuple):
    """Episodes of a deterministic agent, with seeds that training does not use."""

    #: mean return over that of the best actions
    score: float
    #: share of its binarised attribution that lies on the point and the goal
    on_target: float


def play(model: Any, backgrounds: np.ndarray | None, n_episodes: int = 20) -> Played:
    """How well a model does, and where it looks: at the ``saliency_quantile`` of 0.95."""
    env = PointEnv(backgrounds)
    totals = {"model": 0.0, "best": 0.0}
    shares = []
    for seed in range(10_000, 10_000 + n_episodes):
        for who in totals:
            observation, _ = env.reset(seed=seed)
            for step in range(N_STEPS):
                if who == "best":
                    action = env.best_action()
                else:
                    action, _ = model.predict(observation, deterministic=True)
                    if step % 6 == 2:
                        shares.append(share_on_target(model, observation, action, env.relevant()))
                observation, reward, *_ = env.step(action)
                totals[who] += reward
    return Played(totals["model"] / totals["best"], float(np.mean(shares)))


def share_on_target(
    model: Any, observation: np.ndarray, action: np.ndarray, relevant: np.ndarray
) -> float:
    """Of the pixels of M_rho of Q1, those that are relevant."""
    actions = torch.from_numpy(model.policy.scale_action(action[None]))
    attribution = model.policy.attribution(torch.from_numpy(observation[None]), actions)
    (mask,) = binarize(attribution, 0.95, N_STACK).numpy()
    return float((mask & relevant).sum() / mask.sum())


def unseen_backgrounds(n: int = 20) -> np.ndarray:
    """(n, 3, SIZE, SIZE) textures that no training has laid over its states.

    Their brightness is 60 %, so that the point and the goal stay the brightest.
    """
    return (0.6 * draw_textures(n, (SIZE, SIZE), seed=777).numpy()).astype(np.uint8)
