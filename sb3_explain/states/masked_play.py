"""Play in which some of the agent's actions are replaced by random ones: a mask says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sb3_explain.agents.policy_views.base import forbid
from sb3_explain.envs.spaces import Observations
from sb3_explain.states.rollouts import ParallelEnvs

Array = NDArray[Any]
#: function of the observations (n, ...) and the state of an LSTM that returns what the mask policy
#: observes (n, F)
Features = Callable[[Observations, Tensor | None], Tensor]


def read_policy_inputs(envs: ParallelEnvs) -> dict[str, Tensor]:
    """Return what the policy is given beside the observations now."""
    held = {"lstm_states": envs.lstm_states, "action_masks": envs.action_masks()}
    return {name: tensor for name, tensor in held.items() if tensor is not None}


def choose_masked(
    envs: ParallelEnvs,
    observations: Observations,
    policy_inputs: dict[str, Tensor],
    masked: dict[int, np.random.Generator],
) -> Array:
    """Choose actions (n, ...): the agent's own, and random ones where they are masked.

    The agent draws what its own actions take of its random numbers all the same, and its LSTM goes
    on.

    :param envs: the environments
    :param observations: (n, ...) observations of all environments
    :param policy_inputs: what the policy is given beside them
    :param masked: random generator of the action, by row of the environment
    """
    agent = envs.agent
    actions = envs.actions(observations, agent.scores(observations, **policy_inputs))
    envs.lstm_states = agent.next_lstm_states(observations, envs.lstm_states)
    masks = policy_inputs.get("action_masks")
    for row, rng in masked.items():
        actions[row] = draw_action(envs, row, None if masks is None else masks[row], rng)
    return actions


def draw_action(
    envs: ParallelEnvs, row: int, allowed: Tensor | None, rng: np.random.Generator
) -> Any:
    """Draw a random action of the action space, or of those that are allowed.

    :param envs: the environments
    :param row: row of the environment that it is for
    :param allowed: the environment's action mask; ``None`` if there is none
    :param rng: random generator
    """
    agent, space = envs.agent, envs.each[row].action_space
    if isinstance(space, spaces.Box):
        space.seed(int(rng.integers(2**31)))
        return space.sample()
    scores = torch.zeros(1, agent.n_scores)
    if allowed is not None:
        scores = forbid(scores, allowed[None].cpu())
    return agent.act_on(scores, rng=[rng])[0]


class MaskedPlay(VecEnv):
    """What a mask policy learns in: action 0 lets the agent act, action 1 is a random action.

    :param envs: the environments, with their agent
    :param features: what the mask policy observes
    :param bonus: what is added to the reward of a random action
    :param first: number of the first episode
    """

    def __init__(
        self, envs: ParallelEnvs, features: Features, *, bonus: float, first: int = 0
    ) -> None:
        self.envs = envs
        self.features = features
        self.bonus = bonus
        self._upcoming = first
        self._rngs: list[np.random.Generator] = [np.random.default_rng() for _ in envs.each]
        self._earned = np.zeros(len(envs.each))
        n_features = features(envs.observations(), envs.lstm_states).shape[1]
        self.render_mode = None
        super().__init__(
            len(envs.each),
            spaces.Box(-np.inf, np.inf, (n_features,), np.float32),
            spaces.Discrete(2),
        )

    def _begin(self, row: int) -> None:
        self.envs.each[row].begin(self._upcoming)
        self._rngs[row] = np.random.default_rng([self.envs.seed, self._upcoming, 1])
        self._earned[row] = 0.0
        self._upcoming += 1

    @torch.no_grad()
    def _observe(self) -> Array:
        seen = self.features(self.envs.observations(), self.envs.lstm_states)
        return seen.cpu().float().numpy()

    def reset(self) -> Array:
        """Begin an episode in each environment."""
        for row in range(self.num_envs):
            self._begin(row)
        return self._observe()

    def step_async(self, actions: Array) -> None:
        self._masked = np.asarray(actions).astype(bool)

    @torch.no_grad()
    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        envs = self.envs
        masked = {row: self._rngs[row] for row in np.flatnonzero(self._masked).tolist()}
        outcomes = envs.step(
            choose_masked(envs, envs.observations(), read_policy_inputs(envs), masked)
        )
        earned = np.array([env.earned for env in envs.each])
        rewards = earned - self._earned + self.bonus * self._masked
        self._earned = earned
        over = np.array([outcomes[row].over for row in range(self.num_envs)])
        infos: list[dict[str, Any]] = [{} for _ in over]
        seen = self._observe()
        for row in np.flatnonzero(over).tolist():
            infos[row] = {
                "terminal_observation": seen[row],
                "TimeLimit.truncated": outcomes[row].truncated,
                "return": earned[row],
            }
            self._begin(row)
        if over.any():
            seen = self._observe()
        return seen, rewards.astype(np.float32), over, infos

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of all environments alike."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **more: Any) -> Any:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Say that no wrapper is around the environments: they are not stepped one by one."""
        return [False] * self.num_envs


class RepeatedPlay:
    """Chooses actions for episodes that are played with random actions at some of their steps.

    :param envs: the environments
    :param chosen: numbers of the steps with random actions, by episode
    :param arm: number that tells random numbers of this play from those of another
    :param visit: called with the numbers of episodes and rows and with what the agent observes
        before each step
    """

    def __init__(
        self,
        envs: ParallelEnvs,
        chosen: Sequence[Array] = (),
        *,
        arm: int = 0,
        visit: Callable[[dict[int, int], Observations, Tensor | None], None] | None = None,
    ) -> None:
        self.envs = envs
        self._chosen = [frozenset(steps.tolist()) for steps in chosen]
        self._arm = arm
        self._visit = visit
        self._step: dict[int, int] = {}

    def __call__(self, observations: Observations, policy_inputs: dict[str, Tensor]) -> Array:
        """Choose the actions (n, ...) of all environments."""
        envs = self.envs
        playing = {env.episode: env.row for env in envs.each if env.episode is not None}
        if self._visit is not None:
            self._visit(playing, observations, envs.lstm_states)
        masked = {}
        for episode, row in playing.items():
            step = self._step[episode] = self._step.get(episode, -1) + 1
            if self._chosen and step in self._chosen[episode]:
                masked[row] = np.random.default_rng([envs.seed, episode, step, self._arm])
        return choose_masked(envs, observations, policy_inputs, masked)
