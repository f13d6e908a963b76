"""PPO trains a mask policy, which is saved after each update."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from sb3_explain.agents.value_units import USUAL_DISCOUNT
from sb3_explain.common.checkpoints import Checkpoints, TrainingState
from sb3_explain.states.masked_play import Features, MaskedPlay, RepeatedPlay
from sb3_explain.states.play import play_actions
from sb3_explain.states.rollouts import ParallelEnvs
from sb3_explain.workflows.critical_steps.mask_network import LEARNING_RATE, MaskNetwork

#: largest number of steps of each environment between two updates
N_STEPS = 128
#: number of passes over these steps in an update, and of minibatches in a pass
N_EPOCHS, N_MINIBATCHES = 10, 8
#: weight of the entropy: with less, a step that is kept by chance early on is never masked again
ENTROPY = 0.1
#: divergence of the mask policy after which an update ends early
TARGET_KL = 0.03
#: number of episodes of the agent that tell the unit of the bonus, and their largest length
N_MEASURED, LONGEST = 8, 10_000


def measure_step(envs: ParallelEnvs) -> float:
    """Measure the agent's mean absolute return of a step; 1 where it earns nothing.

    :param envs: the environments
    """
    n = max(N_MEASURED, len(envs.each))
    returns, lengths = play_actions(envs, RepeatedPlay(envs), n, LONGEST, lambda _: None)
    return float(np.abs(returns).mean() / lengths.mean()) or 1.0


def train(
    envs: ParallelEnvs,
    network: MaskNetwork,
    features: Features,
    checkpoints: Checkpoints,
    state: TrainingState,
    *,
    n_timesteps: int,
    bonus: float,
    bar: tqdm[Any],
) -> None:
    """Train a mask policy, from wherever it stands.

    :param envs: the environments, with their agent
    :param network: the mask policy, which is changed
    :param features: what it observes
    :param checkpoints: where it is saved
    :param state: progress of the training, which is changed
    :param n_timesteps: number of steps at the end
    :param bonus: reward of a random action, in units of the agent's own return of a step
    :param bar: progress bar
    """
    # no episode of an earlier run is played again: it had at most as many as steps
    first = max(N_MEASURED, len(envs.each)) + state.step
    play = MaskedPlay(envs, features, bonus=bonus * measure_step(envs), first=first)
    discount = envs.agent.value_units.discount or USUAL_DISCOUNT
    normalize = VecNormalize(play, gamma=discount)
    network.give_statistics(normalize)
    n_steps = max(2, min(N_STEPS, n_timesteps // play.num_envs))
    n_states = n_steps * play.num_envs
    set_random_seed(envs.seed + state.step)
    model = PPO(
        "MlpPolicy",
        normalize,
        n_steps=n_steps,
        batch_size=n_states // N_MINIBATCHES if n_states % N_MINIBATCHES == 0 else n_states,
        n_epochs=N_EPOCHS,
        gamma=discount,
        learning_rate=LEARNING_RATE,
        ent_coef=ENTROPY,
        # where all is masked advantages are noise, which is scaled to 1 all the same
        target_kl=TARGET_KL,
        device="cpu",
    )
    model.policy = network.policy
    model.num_timesteps = state.step
    saving = Saving(network, normalize, checkpoints, state, bar)
    model.learn(n_timesteps - state.step, callback=saving, reset_num_timesteps=False)
    state.finished = True
    saving.save()


class Saving(BaseCallback):
    """Saves a mask policy before each of PPO's rollouts.

    :param network: the mask policy
    :param normalize: normalizes what it observes
    :param checkpoints: where it is saved
    :param state: progress of the training
    :param bar: progress bar
    """

    def __init__(
        self,
        network: MaskNetwork,
        normalize: VecNormalize,
        checkpoints: Checkpoints,
        state: TrainingState,
        bar: tqdm[Any],
    ) -> None:
        super().__init__()
        self._network = network
        self._normalize = normalize
        self._checkpoints = checkpoints
        self._state = state
        self._bar = bar
        self._since = time.monotonic()
        self._returns: list[float] = []
        self._masked: list[float] = []

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self._state.step:
            self.save()

    def _on_step(self) -> bool:
        infos: list[Mapping[str, Any]] = self.locals["infos"]
        self._returns += [info["return"] for info in infos if "return" in info]
        self._masked.append(float(np.mean(self.locals["actions"])))
        self._bar.update(self.training_env.num_envs)
        return True

    def save(self) -> None:
        """Save weights, optimizer, statistics and progress."""
        state = self._state
        self._network.take_statistics(self._normalize)
        measured = {"step": self.num_timesteps, "masked": float(np.mean(self._masked))}
        if self._returns:
            measured["return"] = float(np.mean(self._returns))
        state.history.append(measured)
        now = time.monotonic()
        state.step, state.seconds = self.num_timesteps, state.seconds + now - self._since
        self._since, self._returns, self._masked = now, [], []
        self._checkpoints.write_last(self._network, self._network.policy.optimizer, state)
