"""StateMask: a policy that lets random actions be taken wherever the return does not fall by it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.sampled_observations import sample_observations
from sb3_explain.common.checkpoints import Checkpoints, TrainingState, require_same_training
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import sole_writer
from sb3_explain.common.numbers import require_number, require_whole
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.random_state import preserve_random_state
from sb3_explain.common.schema import number, parse_document, record, text, whole
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.tensor_files import read_header
from sb3_explain.envs.spaces import Observations
from sb3_explain.states.environments import ZOO_EPSILON, AnyEnv, find_source
from sb3_explain.states.rollouts import ParallelEnvs
from sb3_explain.workflows.critical_steps.episode import CriticalSteps, play_critical
from sb3_explain.workflows.critical_steps.fidelity import StateMaskFidelity, measure_fidelity
from sb3_explain.workflows.critical_steps.mask_network import (
    MaskNetwork,
    find_hidden_layer,
    read_features,
)
from sb3_explain.workflows.critical_steps.training import train

#: what is added to the seed of a fit for that of episodes that it has not played
FRESH = 1_000_000
REMEDY = "delete it, and fit it again"
_IDENTITY = record(
    {"agent": text(100), "bonus": number(0), "n_envs": whole(1), "seed": whole(), "env": text()}
)


class StateMask:
    """A mask policy of a frozen agent: how much the agent's own action matters in a state.

    In each step it lets the agent act, or has a random action taken instead, for which it earns a
    bonus. It learns by PPO to mask as many steps as it can without losing return, so it keeps the
    agent's action where that matters:

    .. math:: r' = r + \\alpha \\, |\\bar{R}| \\, m, \\qquad
        \\text{importance}(s) = 1 - P(m = 1 \\mid s)

    with m = 1 for a random action, |R| the mean absolute return of a step of the agent, and alpha
    the bonus. Cheng et al. (2023), "StateMask: Explaining Deep Reinforcement Learning through State
    Mask"; the reward is that of Cheng et al. (2024), "RICE". The mask policy observes what the
    agent observes; of an agent that observes pictures or has a memory, its last hidden layer.

    >>> from sb3_explain import StateMask
    >>> mask = StateMask(agent).fit(n_timesteps=64, n_envs=2, progress=False)
    >>> mask.importance(agent.tensor(states.observations([0, 1, 2]))).shape
    (3,)

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    """

    @check_arguments
    def __init__(self, agent: Agent | BaseAlgorithm) -> None:
        self.agent = read_agent(agent)
        self._layer = find_hidden_layer(self.agent)
        self._network: MaskNetwork | None = None
        self._identity: dict[str, Any] = {}
        #: progress of the training: its steps, seconds, and the history of mean return and share
        #: of random actions
        self.training = TrainingState()

    @check_arguments
    def fit(
        self,
        env: AnyEnv | None = None,
        n_timesteps: int = 50_000,
        *,
        n_envs: int = 8,
        bonus: float = 0.5,
        folder: str | Path | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> Self:
        """Train the mask policy by PPO.

        With a folder, it is saved there after each update. The same call goes on with what is saved
        there, in fresh episodes; so a run that was killed ends with other weights than one that was
        not. A larger number of steps trains further.

        :param env: the environment, as :func:`sb3_explain.collect` takes it, but for a VecEnv; the
            agent's own when not given
        :param n_timesteps: number of steps of the training, rounded up to whole updates
        :param n_envs: number of environments that are played in parallel
        :param bonus: reward of a random action, as a share of the agent's mean absolute return of a
            step, at least 0. The higher, the fewer steps are said to be critical
        :param folder: folder of the checkpoint ``last.safetensors``
        :param seed: random seed of the weights, the environments and the actions
        :param progress: show a progress bar on standard error
        :return: itself
        :raises ExplainError: if the environment is unknown or a VecEnv, or the folder holds a mask
            policy of another agent or with other settings
        """
        for name, value, minimum in (
            ("n_timesteps", n_timesteps, 1), ("n_envs", n_envs, 1), ("seed", seed, 0),
        ):  # fmt: skip
            require_whole(name, value, minimum)
        require_number("bonus", bonus, 0, 1e6)
        place = None if folder is None else Path(folder)
        with contextlib.ExitStack() as stack:
            if place is not None:
                stack.enter_context(sole_writer(place))
            stack.enter_context(preserve_random_state(torch.device("cpu")))
            envs = self._open(env, n_envs, seed)
            stack.callback(envs.close)
            identity = {
                "agent": self.agent.fingerprint(), "bonus": float(bonus), "n_envs": n_envs,
                "seed": seed, "env": envs.env_name,
            }  # fmt: skip
            network = self._make_network(seed)
            checkpoints = Checkpoints(place, identity)
            state = checkpoints.restore(network, network.policy.optimizer)
            if state.step < n_timesteps:
                bar = stack.enter_context(
                    progress_bar("fitting StateMask", n_timesteps, "steps", progress, state.step)
                )
                train(
                    envs, network, self._read, checkpoints, state, n_timesteps=n_timesteps,
                    bonus=bonus, bar=bar,
                )  # fmt: skip
        self._network, self.training, self._identity = network, state, identity
        return self

    @check_arguments
    def importance(
        self, observations: Observations, lstm_states: Tensor | None = None
    ) -> NDArray[np.float64]:
        """Return how much the agent's own action matters, (B,) in [0, 1].

        It is the probability that the mask policy keeps it. Only the order of states is meant: how
        many are near 1 depends on the bonus.

        :param observations: (B, ...) observations, as :meth:`Agent.scores` takes them
        :param lstm_states: (B, ...) state of a recurrent agent's LSTM
        :raises ExplainError: if it is not fitted, or the observations do not fit the agent
        """
        network = self._require_fitted()
        with torch.no_grad():
            features = self._read(observations, lstm_states)
        own: NDArray[np.float64] = network(features).double().numpy()
        return own

    @check_arguments
    def fidelity(
        self,
        env: AnyEnv | None = None,
        share: float = 0.2,
        n_episodes: int = 50,
        *,
        max_steps: int | None = None,
        n_envs: int = 8,
        seed: int = FRESH,
        confidence: float = 0.95,
        progress: bool = True,
    ) -> StateMaskFidelity:
        """Measure how far the return falls where random actions are taken at critical steps.

        The same episodes are played as they went, with random actions at the share of their steps
        of highest importance, at as many steps at random, and in blocks at random that are as long
        as the runs of critical steps. Steps are chosen in the episode as it went, by their numbers.

        :param env: the environment, as in :meth:`fit`
        :param share: share of the steps with random actions, in [0, 1]
        :param n_episodes: number of episodes
        :param max_steps: largest number of steps of an episode; no limit if ``None``
        :param n_envs: number of environments that are played in parallel
        :param seed: random seed of the episodes and the bootstrap, by default another than those of
            fits
        :param confidence: confidence level of the intervals, in (0, 1)
        :param progress: show a progress bar on standard error
        :raises ExplainError: if it is not fitted, or the environment is unknown or a VecEnv
        """
        self._require_fitted()
        for name, value, minimum in (
            ("n_episodes", n_episodes, 2), ("n_envs", n_envs, 1), ("seed", seed, 0),
            ("max_steps", 1 if max_steps is None else max_steps, 1),
        ):  # fmt: skip
            require_whole(name, value, minimum)
        require_number("share", share, 0, 1)
        require_number("confidence", confidence, 0, 1)
        envs = self._open(env, min(n_envs, n_episodes), seed)
        try:
            with progress_bar("fidelity", 4 * n_episodes, "episodes", progress) as bar:
                return measure_fidelity(
                    envs, self.importance, share=share, n_episodes=n_episodes,
                    max_steps=max_steps, confidence=confidence, advance=bar.update,
                )  # fmt: skip
        finally:
            envs.close()

    @check_arguments
    def play(
        self,
        episode: int = 0,
        *,
        env: AnyEnv | None = None,
        n_pictures: int = 6,
        render: bool | None = None,
        max_steps: int | None = None,
        seed: int = FRESH,
    ) -> CriticalSteps:
        """Play an episode, and say how critical each of its steps is.

        :param episode: number of the episode, from which its seed follows together with ``seed``
        :param env: the environment, as in :meth:`fit`
        :param n_pictures: number of critical steps that are drawn
        :param render: whether they are drawn; ``None`` where the environment can
        :param max_steps: largest number of steps of the episode; no limit if ``None``
        :param seed: random seed, by default that of :meth:`fidelity`
        :raises ExplainError: if it is not fitted, or the environment is unknown or a VecEnv
        """
        self._require_fitted()
        for name, value in (("episode", episode), ("n_pictures", n_pictures), ("seed", seed)):
            require_whole(name, value, 0)
        if max_steps is not None:
            require_whole("max_steps", max_steps)
        source = find_source(self.agent, env)
        drawn = source.choose_render(render) and n_pictures > 0
        envs = self._open(source, 1, seed, render=drawn)
        try:
            return play_critical(
                envs, self.importance, episode, n_pictures if drawn else 0, max_steps
            )
        finally:
            envs.close()

    def save(self, folder: str | Path) -> Path:
        """Save it as ``last.safetensors``, from which :meth:`fit` goes on, too.

        :param folder: folder, which is created
        :raises ExplainError: if it is not fitted, or the file cannot be written
        """
        network = self._require_fitted()
        place = Path(folder)
        checkpoints = Checkpoints(place, self._identity)
        checkpoints.write_last(network, network.policy.optimizer, self.training)
        return place / "last.safetensors"

    @classmethod
    @check_arguments
    def load(cls, agent: Agent | BaseAlgorithm, folder: str | Path) -> StateMask:
        """Load a mask policy that was saved, or the last checkpoint of a fit.

        :param agent: the agent that it was fitted to
        :param folder: folder of ``last.safetensors``
        :raises ExplainError: if there is none, it is damaged, or of another agent
        """
        loaded = cls(agent)
        path = Path(folder) / "last.safetensors"
        if not path.exists():
            raise ExplainError(
                f"{folder} holds no StateMask: fit one there first (`sb3-explain critical`, or "
                "StateMask.fit with this folder)"
            )
        said = read_header(path, REMEDY).metadata.get("identity", "")
        identity = parse_document(said.encode(), _IDENTITY, f"{path} (identity)", REMEDY)
        fingerprint = {"agent": loaded.agent.fingerprint()}
        require_same_training(Path(folder), identity, fingerprint)
        with preserve_random_state(torch.device("cpu")):
            network = loaded._make_network(0)
        checkpoints = Checkpoints(Path(folder), identity)
        loaded.training = checkpoints.restore(network, network.policy.optimizer)
        loaded._network, loaded._identity = network, identity
        return loaded

    def _require_fitted(self) -> MaskNetwork:
        if self._network is None:
            raise ExplainError("this StateMask is not fitted: call fit, or StateMask.load")
        return self._network

    def _read(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return read_features(self.agent, self._layer, observations, lstm_states)

    def _make_network(self, seed: int) -> MaskNetwork:
        space = self.agent.observation_space
        sampled = self.agent.tensor(sample_observations(space, 1, np.random.default_rng(0)))
        with torch.no_grad():
            n_features = self._read(sampled, self.agent.initial_lstm_states(1)).shape[1]
        torch.manual_seed(seed)
        return MaskNetwork(n_features)

    def _open(self, env: Any, n: int, seed: int, *, render: bool = False) -> ParallelEnvs:
        source = find_source(self.agent, env)
        randomly = source.is_sampled and self.agent.view.value_based
        envs = source.open(
            n, render=render, seed=seed, sampled=source.is_sampled and not randomly,
            epsilon=ZOO_EPSILON if randomly else 0.0,
        )  # fmt: skip
        if not isinstance(envs, ParallelEnvs):
            envs.close()
            raise ExplainError(
                "a VecEnv cannot play an episode again: give env= a gymnasium id, an EnvRecipe, an "
                "environment, or a function that makes one"
            )
        return envs
