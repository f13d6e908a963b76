"""ParallelEnvs: environments that an agent plays in parallel, a batch of observations at a time.

The seed of episode i is a function of (seed, i) alone. In the same one of equally many environments
the episode is the same to the last bit whenever it is played.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.frames import FrameLayout
from sb3_explain.envs.recipe import EnvRecipe, begin_episode
from sb3_explain.envs.spaces import SINGLE, Observations

#: probability of a random action with which RL Zoo plays DQN and QR-DQN agents on Atari
ZOO_EPSILON = 0.01

logger = logging.getLogger(__name__)

Array = NDArray[Any]


class ParallelEnvs:
    """Environments and the agent's stacked observations of them, with one row for each.

    :param agent: agent that plays
    :param recipe: recipe of the environments
    :param n: number of environments
    :param seed: random seed of the environments and of sampled actions
    :param sampled: whether actions are sampled; they are greedy otherwise
    :param epsilon: probability of a uniformly random action instead of the greedy one, in [0, 1]
    :param render_mode: Gymnasium's render mode of the environments
    """

    def __init__(
        self,
        agent: Agent,
        recipe: EnvRecipe,
        n: int,
        *,
        seed: int,
        sampled: bool,
        epsilon: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        self.agent = agent
        self.seed = seed
        self.sampled = sampled
        self.epsilon = epsilon
        envs = [recipe.make(render_mode) for _ in range(n)]
        self.layout = FrameLayout(recipe, envs[0].observation_space, agent.observation_space)
        #: (n, ...) stacked observations by key
        self.stacks = self.layout.empty(n)
        #: (n, ...) state of a recurrent agent's LSTM; ``None`` for other agents
        self.lstm_states = agent.initial_lstm_states(n)
        self._masked = agent.view.maskable and envs[0].has_wrapper_attr("action_masks")
        self.each = [ParallelEnv(self, row, env) for row, env in enumerate(envs)]

    def observations(self) -> Observations:
        """Return the stacked observations (n, ...) of all environments; of idle ones the last."""
        by_key = self.layout.observations(self.stacks)
        return self.agent.tensor(by_key[SINGLE] if set(by_key) == {SINGLE} else by_key)

    def action_masks(self) -> Tensor | None:
        """Return the action masks (n, K) of all environments; ``None`` if the agent takes none."""
        if not self._masked:
            return None
        everything = np.ones(self.agent.n_targets, dtype=np.int8)
        rows = [everything if env.episode is None else env.action_masks() for env in self.each]
        masks: Tensor = torch.as_tensor(np.stack(rows), device=self.agent.device)
        return masks

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

    def close(self) -> None:
        """Close all environments."""
        for env in self.each:
            env.env.close()


class ParallelEnv:
    """One of several parallel environments, which plays one episode after the other.

    :param envs: all parallel environments
    :param row: row of this environment in the batch
    :param env: the Gymnasium environment
    """

    def __init__(self, envs: ParallelEnvs, row: int, env: gym.Env[Any, Any]) -> None:
        self.envs = envs
        self.row = row
        self.env = env
        #: number of the episode that is being played; None while idle
        self.episode: int | None = None
        self.rng = np.random.default_rng(0)
        # its own copy: seeding the agent's would change what a live model samples
        self.action_space = copy.deepcopy(envs.agent.action_space)
        if isinstance(self.action_space, spaces.Discrete):
            # random actions are numbered as the agent numbers its own
            self.action_space.start = np.int64(envs.agent.first_action)

    def begin(self, episode: int) -> None:
        """Reset the environment to the start of an episode.

        :param episode: number of the episode, from which its seed follows
        """
        self.episode = episode
        source = np.random.SeedSequence([self.envs.seed, episode])
        self.rng = np.random.default_rng(source)
        self._start(begin_episode(self.env, int(source.generate_state(1)[0])))

    def _start(self, observation: Any) -> None:
        #: whether the frame stack was emptied before the current frame
        self.starts = True
        self.envs.layout.clear(self.envs.stacks, self.row)
        if self.envs.lstm_states is not None:
            self.envs.lstm_states[self.row] = 0
        self._see(observation)

    def _see(self, observation: Any) -> None:
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

    def action_masks(self) -> Array:
        """Return which actions the environment allows now: (K,) of 0 and 1."""
        allowed = self.env.get_wrapper_attr("action_masks")()
        return np.asarray(allowed, dtype=np.int8).reshape(-1)

    def maybe_random(self, action: Any) -> Any:
        """Replace the action, with probability epsilon, by a uniformly random one."""
        if self.rng.random() >= self.envs.epsilon:
            return action
        self.action_space.seed(int(self.rng.integers(2**31)))
        return self.action_space.sample()

    def step(self, action: Any) -> tuple[float, bool]:
        """Take an action in the environment.

        :param action: the action, as the environment takes it
        :return: the reward, and whether the episode is over
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.starts = False
        if "episode" in info:
            return float(reward), True
        if terminated or truncated:  # only a life is lost: the game goes on
            observation, _ = self.env.reset()
            self._start(observation)
        else:
            self._see(observation)
        return float(reward), False

    @property
    def earned(self) -> float:
        """Return of the current episode so far, as the environment's Monitor counts it."""
        return float(sum(self.env.get_wrapper_attr("rewards")))


def find_recipe(agent: Agent, env: str | EnvRecipe | None) -> EnvRecipe:
    """Find how the environments in which an agent plays are made.

    An agent that was trained with normalized observations sees normalized ones there too.

    :param agent: agent that plays
    :param env: Gymnasium id or recipe of the environment; the agent's own when not given
    :raises ExplainError: if no environment is given and the agent knows none, or something else is
        given
    """
    own = agent.recipe
    if env is None or (isinstance(env, str) and own is not None and env == own.env_id):
        if own is None:
            raise ExplainError("this agent knows no environment: name one with env=...")
        return own
    if not isinstance(env, str | EnvRecipe):
        raise ExplainError(
            f"env is a gymnasium id or an EnvRecipe, not a {type(env).__name__}: "
            "gymnasium.register(...) gives an environment of your own an id"
        )
    recipe = EnvRecipe(env, frame_stack=agent.n_stack) if isinstance(env, str) else env
    if agent.normalizers and not recipe.normalizers:
        logger.warning(
            "observations of %s are normalized by the statistics of the agent", recipe.env_id
        )
        recipe = dataclasses.replace(recipe, normalizers=agent.normalizers)
    return recipe


def is_sampled_in_zoo(recipe: EnvRecipe) -> bool:
    """Check whether RL Zoo plays this environment with sampled actions: Atari and MiniGrid."""
    is_atari = any("AtariWrapper" in name for name, _ in recipe.wrappers)
    return is_atari or "MiniGrid" in recipe.env_id


def open_parallel_envs(
    agent: Agent,
    n: int,
    *,
    env: str | EnvRecipe | None = None,
    deterministic: bool | None = None,
    seed: int = 0,
) -> ParallelEnvs:
    """Open environments in which the agent plays as in RL Zoo.

    :param agent: agent that plays
    :param n: number of environments
    :param env: Gymnasium id or recipe of the environment; the agent's own when not given
    :param deterministic: whether actions are greedy; otherwise they are sampled or, for an agent of
        Q-values, random with probability 0.01. When not given, they are greedy except on Atari and
        MiniGrid, as in RL Zoo
    :param seed: random seed of the environments and actions
    :raises ExplainError: if the environment is unknown
    """
    recipe = find_recipe(agent, env)
    sampled = is_sampled_in_zoo(recipe) if deterministic is None else not deterministic
    randomly = sampled and agent.view.value_based
    return ParallelEnvs(
        agent,
        recipe,
        n,
        seed=seed,
        sampled=sampled and not randomly,
        epsilon=ZOO_EPSILON if randomly else 0.0,
    )
