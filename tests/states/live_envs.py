"""Environments that no registry knows, and tiny models of them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

SIZE = 36
#: observations of :class:`Field`
KINDS = ("picture", "vector", "dict")
ALGORITHMS = (PPO, DQN, SAC, RecurrentPPO, MaskablePPO)


class Field(gym.Env[Any, Any]):
    """A dot on a field that actions move; an episode has 6 to 11 steps.

    The first feature of a vector counts the steps of the episode; so does the first pixel.

    :param kind: what is observed, of :data:`KINDS`
    :param continuous: whether the action is a number, in place of one of three
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self, kind: str = "vector", *, continuous: bool = False, render_mode: str | None = None
    ) -> None:
        self.kind = kind
        self.render_mode = render_mode
        picture = spaces.Box(0, 255, (SIZE, SIZE, 1), np.uint8)
        vector = spaces.Box(-100, 100, (4,), np.float32)
        by_kind = {
            "picture": picture,
            "vector": vector,
            "dict": spaces.Dict(picture=picture, vector=vector),
        }
        self.observation_space = by_kind[kind]
        self.action_space: spaces.Space[Any] = (
            spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(3)
        )
        #: resets and steps since it was made
        self.used = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.used += 1
        self.step_number = 0
        self.length = int(self.np_random.integers(6, 12))
        self.place = self.np_random.uniform(-10, 10, 2)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.used += 1
        self.step_number += 1
        move = float(np.ravel(action)[0]) - (0 if self.action_space.shape else 1)
        self.place = self.place + np.array([move, self.np_random.normal()])
        return self._observe(), move, self.step_number == self.length, False, {}

    def _observe(self) -> Any:
        vector = np.array([self.step_number, self.length, *self.place], np.float32)
        picture = np.zeros((SIZE, SIZE, 1), np.uint8)
        y, x = np.clip(self.place + SIZE // 2, 2, SIZE - 3).astype(int)
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
        picture[0, 0] = self.step_number
        both = {"picture": picture, "vector": vector}
        return both if self.kind == "dict" else both[self.kind]

    def action_masks(self) -> np.ndarray:
        """The dot may not leave the field: at its edges one action is forbidden."""
        return np.array([self.place[0] > -8, True, self.place[0] < 8])

    def render(self) -> np.ndarray:
        drawn = np.zeros((8, 8, 3), np.uint8)
        drawn[0, 0] = self.step_number
        return drawn


def make_model(algorithm: type[BaseAlgorithm], env: Any, seed: int = 0) -> BaseAlgorithm:
    """A tiny model that has learned nothing."""
    space = env.observation_space
    observed = (
        "MultiInput"
        if isinstance(space, spaces.Dict)
        else "Cnn"
        if len(space.shape) == 3
        else "Mlp"
    )
    lstm = "Lstm" if algorithm is RecurrentPPO else ""
    kwargs: dict[str, Any] = {"net_arch": [8]}
    if observed != "Mlp":
        kwargs["features_extractor_kwargs"] = (
            {"features_dim": 8} if observed == "Cnn" else {"cnn_output_dim": 8}
        )
    if lstm:
        kwargs |= {"lstm_hidden_size": 4}
    replay = algorithm in (DQN, SAC)
    sizes = {"buffer_size": 50} if replay else {"n_steps": 8, "batch_size": 8, "n_epochs": 1}
    return algorithm(  # type: ignore[call-arg]
        f"{observed}{lstm}Policy", env, policy_kwargs=kwargs, seed=seed, device="cpu", **sizes
    )


def make_field(algorithm: type[BaseAlgorithm], kind: str = "vector", **options: Any) -> Field:
    """The environment that an algorithm can learn in."""
    return Field(kind, continuous=algorithm is SAC, **options)
