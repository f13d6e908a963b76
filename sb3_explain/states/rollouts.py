"""Rollouts: an agent plays in parallel environments, a batch of observations at a time.

The seed of episode i is a function of (seed, i) alone. In the same one of equally many environments
the episode is the same to the last bit whenever it is played; :mod:`.vec_rollouts` says what holds
for a VecEnv.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.missing_inputs import warn_if_unmasked
from sb3_explain.envs.failing import read_reset, running_env
from sb3_explain.envs.frames import FrameLayout
from sb3_explain.envs.recipe import begin_episode
from sb3_explain.envs.screen import find_screen
from sb3_explain.envs.spaces import SINGLE, Observations
from sb3_explain.states.outcome import StepOutcome

Array = NDArray[Any]


class Rollouts(ABC):
    """What an agent plays in, with the agent's stacked observations, a row for each environment.

    :param agent: agent that plays
    :param layout: turns what the environments give into the agent's observations
    :param n: number of environments
    :param seed: random seed of the environments and of sampled actions
    :param sampled: whether actions are sampled; they are greedy otherwise
    :param epsilon: probability of a uniformly random action instead of the greedy one, in [0, 1]
    """

    #: each environment with its episode
    each: Sequence[Rollout]

    def __init__(
        self,
        agent: Agent,
        layout: FrameLayout,
        n: int,
        *,
        seed: int,
        sampled: bool,
        epsilon: float = 0.0,
    ) -> None:
        self.agent = agent
        self.layout = layout
        self.seed = seed
        self.sampled = sampled
        self.epsilon = epsilon
        #: (n, ...) stacked observations by key
        self.stacks = layout.empty(n)
        #: (n, ...) state of a recurrent agent's LSTM; ``None`` for other agents
        self.lstm_states = agent.initial_lstm_states(n)

    @property
    def env_name(self) -> str:
        """Name of the environments, for messages."""
        return self.layout.recipe.env_id

    @property
    def stored_stacks(self) -> int | None:
        """Frames in each stored observation, where whole observations are stored."""
        return self.layout.n_frames if self.layout.stores_stacks else None

    def warn_if_unmasked(self) -> None:
        """Warn that a maskable policy is not told which actions are allowed here."""
        remedy = "let it have a method action_masks(), as sb3_contrib's ActionMasker adds one"
        warn_if_unmasked(self.agent, f"{self.env_name} has none: {remedy}")

    def observations(self) -> Observations:
        """Return the stacked observations (n, ...) of all environments; of idle ones the last."""
        by_key = self.layout.observations(self.stacks)
        return self.agent.tensor(by_key[SINGLE] if set(by_key) == {SINGLE} else by_key)

    @abstractmethod
    def action_masks(self) -> Tensor | None:
        """Return the action masks (n, K) of all environments; ``None`` if the agent takes none."""

    def actions(self, observations: Observations, scores: Tensor) -> Array:
        """Choose actions (n, ...) for all environments.

        :param observations: (n, ...) observations that the agent acts on
        :param scores: (n, K) the agent's scores of these observations
        """
        if self.sampled:
            box = isinstance(self.agent.action_space, spaces.Box)
            std = self.agent.view.std(observations, self.lstm_states) if box else None
            return self.agent.act_on(scores, std=std, rng=[env.rng for env in self.each])
        greedy = self.agent.act_on(scores)
        if not self.epsilon:
            return greedy
        pairs = zip(self.each, greedy, strict=True)
        return np.stack([env.maybe_random(action) for env, action in pairs])

    @abstractmethod
    def step(self, actions: Array) -> dict[int, StepOutcome]:
        """Take an action in each environment that plays.

        :param actions: (n, ...) actions, as the environments take them
        :return: what the step gave, by row
        """

    @abstractmethod
    def rewind(self) -> None:
        """Let the next episodes begin from seeds of their own, wherever the environments stand."""

    @abstractmethod
    def close(self) -> None:
        """Close what was made to be played."""


class Rollout(ABC):
    """One of several parallel environments, which plays one episode after the other.

    :param envs: all parallel environments
    :param row: row of this environment in the batch
    """

    def __init__(self, envs: Rollouts, row: int) -> None:
        self.envs = envs
        self.row = row
        #: number of the episode that is being played; None while idle
        self.episode: int | None = None
        self.rng = np.random.default_rng(0)
        # its own copy: seeding the agent's would change what a live model samples
        self.action_space = copy.deepcopy(envs.agent.action_space)
        if isinstance(self.action_space, spaces.Discrete):
            # random actions are numbered as the agent numbers its own
            self.action_space.start = np.int64(envs.agent.first_action)

    @property
    def ready(self) -> bool:
        """Whether an episode can begin now; if not, it can after some more steps."""
        return True

    def begin(self, episode: int) -> None:
        """Begin an episode.

        :param episode: number of the episode, from which its seed follows
        """
        self.episode = episode
        source = np.random.SeedSequence([self.envs.seed, episode])
        self.rng = np.random.default_rng(source)
        self._reset(int(source.generate_state(1)[0]))

    @abstractmethod
    def _reset(self, seed: int) -> None: ...

    @abstractmethod
    def find_screen(self) -> Callable[[], Any]:
        """Return a function that draws the current state as RGB (h, w, 3); call it once, first."""

    def start(self, observation: Any) -> None:
        """Observe what an episode, or the game after a lost life, begins with."""
        #: whether the frame stack was emptied before the current frame
        self.starts = True
        self.envs.layout.clear(self.envs.stacks, self.row)
        if self.envs.lstm_states is not None:
            self.envs.lstm_states[self.row] = 0
        self.observe(observation)

    def observe(self, observation: Any) -> None:
        """Observe what the environment gives after a step."""
        #: the newest frame, by key
        self.frame = self.envs.layout.frame(observation)
        self.envs.layout.push(self.envs.stacks, self.row, self.frame)

    def stored(self) -> dict[str, Array]:
        """Return what a store keeps of the current state, by key.

        It is the newest frame, or the whole observation where frames do not suffice to put it
        together again.
        """
        layout = self.envs.layout
        if not layout.stores_stacks:
            return self.frame
        # copies: the next step changes the stacks in place
        stacks = {key: stack[self.row].copy() for key, stack in self.envs.stacks.items()}
        return layout.observations(stacks)

    def maybe_random(self, action: Any) -> Any:
        """Replace the action, with probability epsilon, by a uniformly random one."""
        if self.rng.random() >= self.envs.epsilon:
            return action
        self.action_space.seed(int(self.rng.integers(2**31)))
        return self.action_space.sample()

    @property
    @abstractmethod
    def earned(self) -> float:
        """Return of the current episode so far."""


class ParallelEnvs(Rollouts):
    """Gymnasium environments that were made to be played, each of which is reset by itself.

    :param envs: the environments, each with a Monitor
    :param is_copy: whether they were made to be played; the user's own is not closed
    :param settings: further arguments of :class:`Rollouts`
    """

    def __init__(
        self,
        agent: Agent,
        layout: FrameLayout,
        envs: Sequence[gym.Env[Any, Any]],
        *,
        is_copy: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(agent, layout, len(envs), **settings)
        self.is_copy = is_copy
        self._masked = agent.view.maskable and envs[0].has_wrapper_attr("action_masks")
        if not self._masked:
            self.warn_if_unmasked()
        self.each: list[ParallelEnv] = [ParallelEnv(self, row, env) for row, env in enumerate(envs)]

    def action_masks(self) -> Tensor | None:
        if not self._masked:
            return None
        everything = np.ones(self.agent.n_targets, dtype=np.int8)
        with running_env(self.env_name, "action_masks"):
            rows = [everything if env.episode is None else env.action_masks() for env in self.each]
        masks: Tensor = torch.as_tensor(np.stack(rows), device=self.agent.device)
        return masks

    def step(self, actions: Array) -> dict[int, StepOutcome]:
        playing = [env for env in self.each if env.episode is not None]
        return {env.row: env.step(actions[env.row]) for env in playing}

    def rewind(self) -> None:
        """Do nothing: each episode begins with a reset."""

    def close(self) -> None:
        for env in self.each if self.is_copy else ():
            env.env.close()


class ParallelEnv(Rollout):
    """A Gymnasium environment that plays one episode after the other.

    :param env: the environment
    """

    envs: ParallelEnvs

    def __init__(self, envs: ParallelEnvs, row: int, env: gym.Env[Any, Any]) -> None:
        super().__init__(envs, row)
        self.env = env
        self._n_steps = 0

    def _reset(self, seed: int) -> None:
        self._n_steps = 0
        self.start(begin_episode(self.env, seed))

    def find_screen(self) -> Callable[[], Any]:
        # which puts a wrapper between those of the environment
        return find_screen(self.env) if self.envs.is_copy else self.env.render

    def action_masks(self) -> Array:
        """Return which actions the environment allows now: (K,) of 0 and 1."""
        allowed = self.env.get_wrapper_attr("action_masks")()
        return np.asarray(allowed, dtype=np.int8).reshape(-1)

    def step(self, action: Any) -> StepOutcome:
        """Take an action in the environment.

        :param action: the action, as the environment takes it
        """
        self._n_steps += 1
        name = self.envs.env_name
        with running_env(name, f"step {self._n_steps} of episode {self.episode}"):
            observation, reward, terminated, truncated, info = self.env.step(action)
            earned, over = float(reward), "episode" in info
        self.starts = False
        if over:
            return StepOutcome(earned, True, bool(truncated and not terminated))
        if terminated or truncated:  # only a life is lost: the game goes on
            with running_env(name, "reset"):
                observation = read_reset(name, self.env.reset())
            self.start(observation)
        else:
            self.observe(observation)
        return StepOutcome(earned)

    @property
    def earned(self) -> float:
        """Return of the current episode so far, as the environment's Monitor counts it."""
        return float(sum(self.env.get_wrapper_attr("rewards")))
