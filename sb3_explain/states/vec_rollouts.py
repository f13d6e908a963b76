"""Rollouts in a VecEnv, which is stepped as a whole and resets its environments itself.

One of its environments cannot be reset alone. So an episode begins where the VecEnv has begun one:
after a reset of the whole, and after the end of the last one. An environment whose episode was left
early waits, and is stepped with the others, until its game is over; when all wait, the whole is
reset with the seed of the episode that begins first. So all episodes together are a function of the
seed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.copying import hold_statistics, list_vec_layers, put_back_wrappers
from sb3_explain.envs.failing import running_env
from sb3_explain.envs.frames import FrameLayout
from sb3_explain.envs.screen import find_screen
from sb3_explain.states.outcome import StepOutcome
from sb3_explain.states.rollouts import Rollout, Rollouts

Array = NDArray[Any]


class VecRollouts(Rollouts):
    """The environments of a VecEnv, which is played as it stands.

    :param env: the VecEnv, with its wrappers
    :param is_copy: whether it was made to be played; the user's own is not closed, and its wrappers
        are put back as they were found
    :param settings: further arguments of :class:`Rollouts`
    """

    def __init__(
        self, agent: Agent, layout: FrameLayout, env: VecEnv, *, is_copy: bool, **settings: Any
    ) -> None:
        super().__init__(agent, layout, env.num_envs, **settings)
        self.env = env
        self._is_copy = is_copy
        self._as_found = contextlib.ExitStack()
        if not is_copy:
            self._as_found.enter_context(put_back_wrappers(env))
        hold_statistics(env)
        self._masked = agent.view.maskable and env.has_attr("action_masks")
        if not self._masked:
            self.warn_if_unmasked()
        self.monitored = has_monitors(env)
        self._images: list[Any] | None = None
        self._n_steps = 0
        self.each: list[VecRollout] = [VecRollout(self, row) for row in range(env.num_envs)]

    @property
    def stored_stacks(self) -> int | None:
        n_stack = self.agent.n_stack
        depths = [key.shape[0] if key.shape else 1 for key in self.layout.keys.values()]
        # frames that the VecEnv has stacked itself
        if self.layout.n_stack == 1 < n_stack and not any(depth % n_stack for depth in depths):
            return n_stack
        return super().stored_stacks

    def action_masks(self) -> Tensor | None:
        if not self._masked:
            return None
        with running_env(self.env_name, "action_masks"):
            allowed = np.stack(self.env.env_method("action_masks")).astype(np.int8)
        masks: Tensor = torch.as_tensor(allowed.reshape(len(self.each), -1))
        return masks.to(self.agent.device)

    def step(self, actions: Array) -> dict[int, StepOutcome]:
        playing = [env.row for env in self.each if env.episode is not None]
        self._n_steps += 1
        with running_env(self.env_name, f"step {self._n_steps}"):
            observations, rewards, dones, infos = self.env.step(actions)
        self._images = None
        outcomes = {}
        for env in self.each:
            done, info = bool(dones[env.row]), infos[env.row]
            # a Monitor says where a game is over; without one, every end is one
            over = done and ("episode" in info or not self.monitored)
            env.take(pick_row(observations, env.row), float(rewards[env.row]), info, done, over)
            at_limit = over and bool(info.get("TimeLimit.truncated", False))
            outcomes[env.row] = StepOutcome(float(rewards[env.row]), over, at_limit)
        return {row: outcomes[row] for row in playing}

    def reset(self, seed: int) -> None:
        """Reset the whole VecEnv."""
        # not every VecEnv takes a seed; who made the rollouts has said so
        with contextlib.suppress(Exception):
            self.env.seed(seed)
        with running_env(self.env_name, "reset"):
            observations = self.env.reset()
        self._images = None
        for env in self.each:
            env.start(pick_row(observations, env.row))
            env.at_start = True

    def images(self) -> list[Any]:
        """Draw all environments: (h, w, 3) RGB, or ``None`` of what draws nothing."""
        if self._images is None:
            try:
                self._images = list(self.env.get_images())
            except AttributeError:  # where many agents are in one world, as SuperSuit makes it
                self._images = [self.env.render()] * self.env.num_envs
        return self._images

    def rewind(self) -> None:
        for env in self.each:
            env.at_start = False

    def close(self) -> None:
        self._as_found.close()
        if self._is_copy:
            self.env.close()

    def find_screen(self, row: int) -> Callable[[], Any]:
        """Return a function that draws one environment."""
        base = list_vec_layers(self.env)[-1]
        if self._is_copy and isinstance(base, DummyVecEnv):
            return find_screen(base.envs[row])
        return lambda: self.images()[row]


class VecRollout(Rollout):
    """One environment of a VecEnv, which plays one episode after the other.

    :param envs: all environments of the VecEnv
    :param row: row of this environment in the batch
    """

    envs: VecRollouts

    def __init__(self, envs: VecRollouts, row: int) -> None:
        super().__init__(envs, row)
        #: whether the environment stands at the start of an episode
        self.at_start = False
        self._earned = 0.0

    @property
    def ready(self) -> bool:
        return self.at_start or all(env.episode is None for env in self.envs.each)

    def _reset(self, seed: int) -> None:
        if not self.at_start:
            self.envs.reset(seed)
        self._earned = 0.0

    def take(
        self, observation: Any, reward: float, info: Mapping[str, Any], done: bool, over: bool
    ) -> None:
        """Take what a step gave this environment.

        :param observation: what it observes now: the start of the next episode if this one is done
        :param reward: reward of the step
        :param info: what else the environment says
        :param done: whether an episode of the environment ended
        :param over: whether the game is over; otherwise only a life was lost
        """
        self._earned += reward
        if over and "episode" in info:  # rewards may be clipped, those of Monitor are not
            self._earned = float(info["episode"]["r"])
        self.starts = False
        self.at_start = over
        if done:
            self.start(observation)
        else:
            self.observe(observation)

    def find_screen(self) -> Callable[[], Any]:
        return self.envs.find_screen(self.row)

    @property
    def earned(self) -> float:
        return self._earned


def has_monitors(env: VecEnv) -> bool:
    """Whether the environments of a VecEnv count their games, whatever wraps them."""
    try:
        return all(env.env_is_wrapped(Monitor))
    except Exception:  # a VecEnv of another package may not know what that means
        return False


def pick_row(observations: Any, row: int) -> Any:
    """The observation of one environment in a batch, or in a dict of batches."""
    if isinstance(observations, dict):
        return {key: observed[row] for key, observed in observations.items()}
    if isinstance(observations, tuple):
        raise ExplainError(
            "Tuple observations are not supported: Stable-Baselines3 has none either"
        )
    return observations[row]
