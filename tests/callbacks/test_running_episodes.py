"""Steps and returns of a training's states, against what SB3's Monitor counts."""

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_explain.callbacks.running_episodes import RETURN, STEP, RunningEpisodes
from sb3_explain.callbacks.training_states import read_step


class Watcher(BaseCallback):
    """Keeps the counts of the last state of each episode, and those of the monitors."""

    def __init__(self, *, fresh):
        super().__init__()
        self.fresh, self.ours, self.theirs, self.first = fresh, [], [], None

    def _on_training_start(self):
        self.episodes = RunningEpisodes(self.model.n_envs, fresh=self.fresh)

    def _on_step(self):
        step = self.episodes.number(read_step(self.model, self.locals))
        if self.first is None:
            self.first = step.records
        for env in np.flatnonzero(step.ends):
            done = self.locals["infos"][env]["episode"]
            reward = float(np.asarray(step.rewards)[env])
            self.ours.append(
                (step.records[STEP][env] + 1, round(step.records[RETURN][env] + reward, 4))
            )
            self.theirs.append((done["l"], pytest.approx(done["r"], abs=1e-3)))
        return True


@pytest.mark.parametrize("normalize", [False, True])
def test_they_are_those_of_the_monitor(normalize):
    env = make_vec_env("CartPole-v1", n_envs=3, seed=0)
    if normalize:  # whose rewards are those of the game all the same
        env = VecNormalize(env)
    watcher = Watcher(fresh=True)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(192, callback=watcher)
    assert len(watcher.ours) > 3
    assert watcher.ours == watcher.theirs
    assert not watcher.first[STEP].any() and not watcher.first[RETURN].any()


def test_off_policy_algorithms_are_counted_too():
    env = make_vec_env("CartPole-v1", seed=0)
    watcher = Watcher(fresh=True)
    DQN("MlpPolicy", env, learning_starts=500, seed=0, device="cpu").learn(100, callback=watcher)
    assert len(watcher.ours) > 1
    assert watcher.ours == watcher.theirs


def test_of_an_episode_that_had_begun_before_nothing_is_known():
    env = make_vec_env("CartPole-v1", seed=0)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(32)
    watcher = Watcher(fresh=False)
    model.learn(96, callback=watcher, reset_num_timesteps=False)
    assert np.isnan(watcher.first[STEP]).all() and np.isnan(watcher.first[RETURN]).all()
    assert len(watcher.ours) > 1
    assert watcher.ours[1:] == watcher.theirs[1:]
