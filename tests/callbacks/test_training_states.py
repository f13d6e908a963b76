"""What callbacks see of a training: the policy's observations to the bit, with little memory."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import ARS, MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_explain import SaliencyCallback
from sb3_explain.callbacks.training_states import (
    MonitorStates,
    Step,
    TrainingStates,
    read_step,
    take_snapshot,
)
from sb3_explain.common.errors import ExplainError
from tests.callbacks.learning import N_STACK, make


class Watcher(BaseCallback):
    """Keeps states as the package does, and beside them whole observations as a slow list."""

    def __init__(self, seen):
        super().__init__()
        self.seen, self.whole = seen, []

    def _on_step(self):
        step = read_step(self.model, self.locals)
        for env in range(len(step.ends)):
            self.seen.add(step, env)
            self.whole.append(
                (env, {name: np.array(observed[env]) for name, observed in step.by_key.items()},
                 np.array(self.locals["actions"][env]))
            )  # fmt: skip
        return True


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac"])
def test_all_observations_are_rebuilt(algo):
    model = make(algo)
    watcher = Watcher(TrainingStates(10_000, take_snapshot(model).n_stack))
    model.learn(192, callback=watcher)
    states = watcher.seen.states(take_snapshot(model))
    assert len(states) == len(watcher.seen) == len(watcher.whole)
    # pieces of several environments begin and end at different times
    desired = {w[1][""].tobytes() + w[2].tobytes() for w in watcher.whole}
    observations = states.observations(np.arange(len(states))).numpy()
    got = {o.tobytes() + a.tobytes() for o, a in zip(observations, states.actions, strict=True)}
    assert got == desired
    if algo != "sac":
        greedy = take_snapshot(model).greedy(torch.from_numpy(observations)).numpy()
        assert np.array_equal(states.greedy, greedy)


def test_frames_are_kept_once():
    model = make("ppo")
    seen = TrainingStates(10_000, N_STACK)
    model.learn(192, callback=Watcher(seen))
    stored = sum(len(piece.frames[""]) for piece in seen.pieces)
    # an episode has 40 steps: every piece has one frame more than states
    assert stored == len(seen) + len(seen.pieces) * (N_STACK - 1)
    assert len(seen.pieces) < len(seen) / 10


def test_only_the_last_states_are_kept():
    model = make("ppo")
    seen = TrainingStates(64, N_STACK)
    watcher = Watcher(seen)
    model.learn(320, callback=watcher)
    assert 64 <= len(seen) < 64 + 8
    states = seen.states(take_snapshot(model))
    last = {w[1][""].tobytes() for w in watcher.whole[-80:]}
    observations = states.observations(np.arange(len(states))).numpy()
    assert all(observation.tobytes() in last for observation in observations)


def test_with_many_environments_no_state_is_lost():
    seen, n_envs = TrainingStates(32, 1), 40
    rng = np.random.default_rng(0)
    desired = []
    for _ in range(30):
        observations = rng.normal(size=(n_envs, 4)).astype(np.float32)
        step = Step({"": observations}, {"actions": np.zeros(n_envs)}, np.zeros(n_envs, bool))
        for env in range(n_envs):
            seen.add(step, env)
            desired.append(observations[env].tobytes())
        retained = [frame.tobytes() for piece in seen.pieces for frame in piece.frames[""]]
        assert len(seen) == len(retained) >= 32
        # pieces end at different times: some states are newer than others that are gone
        assert set(retained) <= set(desired[-(32 + 2 * n_envs) :])


def test_episodes_are_told_apart():
    model = make("ppo")
    seen = TrainingStates(10_000, N_STACK)
    model.learn(192, callback=Watcher(seen))
    states = seen.states(take_snapshot(model))
    # 96 steps in each of two environments, of episodes of 40: 3 in each
    assert sorted(np.unique(states.episode, return_counts=True)[1]) == [16, 16, 40, 40, 40, 40]


def test_a_wrong_number_of_stacked_frames_only_costs_memory():
    model = make("sac")  # pictures of nine channels whose environment stacks them itself
    seen = TrainingStates(10_000, 9)
    watcher = Watcher(seen)
    model.learn(40, callback=watcher)
    observations = torch.stack([torch.from_numpy(w[1][""]) for w in watcher.whole])
    states = seen.states(take_snapshot(model))
    assert torch.equal(states.observations(np.arange(len(states))), observations)


def test_stacks_along_another_axis_are_kept_whole():
    class Sheet(gym.Env):
        observation_space = gym.spaces.Box(-1, 1, (4, 6), np.float32)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), 0.0, False, False, {}

    env = VecFrameStack(DummyVecEnv([Sheet]), 3)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0)
    watcher = Watcher(TrainingStates(1000, take_snapshot(model).n_stack))
    model.learn(32, callback=watcher)
    states = watcher.seen.states(take_snapshot(model))
    desired = np.stack([whole[1][""] for whole in watcher.whole])
    assert np.array_equal(states.observations(np.arange(32)).numpy(), desired)


def test_normalised_vectors_are_those_that_the_policy_saw():
    env = VecFrameStack(VecNormalize(make_vec_env("CartPole-v1", n_envs=2, seed=0)), 3)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0)
    watcher = Watcher(TrainingStates(10_000, 3))
    model.learn(128, callback=watcher)
    states = watcher.seen.states(take_snapshot(model))
    observations = states.observations(np.arange(len(states))).numpy()
    desired = {w[1][""].tobytes() for w in watcher.whole}
    assert {o.tobytes() for o in observations} == desired


@pytest.mark.parametrize("algo", [PPO, SAC])
def test_a_state_stays_the_same_while_statistics_change(algo, tmp_path):
    """Raw observations of a slow list; the policy of later sees them by its statistics of then."""
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    options = {"n_steps": 32, "batch_size": 32} if algo is PPO else {"learning_starts": 8}
    model = algo("MlpPolicy", env, seed=0, device="cpu", **options)
    states, raw, acted_upon = [], [], []

    class Watching(SaliencyCallback):
        def watch(self, step):
            super().watch(step)
            acted_upon.append(step.raw[""].copy())

        def work(self, folder):
            states.append(self.monitor_states.states(self.take_agent()))

    class Raw(BaseCallback):
        def _on_training_start(self):
            raw.append(env.get_original_obs())

        def _on_step(self):
            raw.append(env.get_original_obs())
            return True

    watching = Watching(
        "gradient", every=64, n_states=4, folder=str(tmp_path), budget=None, on_error="raise"
    )
    model.learn(192, callback=[Raw(), watching])
    np.testing.assert_array_equal(acted_upon, raw[:-1])
    assert len(states) >= 2
    shown = []
    for each in (states[0], states[-1]):
        seen = each.observations(np.arange(4)).numpy()
        shown.append(seen)
        assert each.n_stack == 1
    assert not np.allclose(shown[0], shown[1])  # the statistics have changed
    due = [raw[0][0], raw[7][1], raw[15][0], raw[23][1]]
    np.testing.assert_allclose(shown[1], env.normalize_obs(np.stack(due)), rtol=1e-5)


def test_the_memory_of_a_recurrent_policy_is_that_before_the_step():
    env = make_vec_env("CartPole-v1", n_envs=2, seed=0)
    model = RecurrentPPO(
        "MlpLstmPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=0,
        policy_kwargs={"lstm_hidden_size": 8},
    )  # fmt: skip

    class Values(BaseCallback):
        """What the policy itself says at every step."""

        def __init__(self):
            super().__init__()
            self.seen, self.values = TrainingStates(1000, 1), []

        def _on_step(self):
            if self.num_timesteps <= 32:  # before the first update
                step = read_step(self.model, self.locals)
                for env in range(2):
                    self.seen.add(step, env)
                    self.values.append((env, float(self.locals["values"][env])))
            return True

    callback = Values()
    agent = take_snapshot(model)
    model.learn(32, callback=callback)
    states = callback.seen.states(agent)
    desired = sorted(round(value, 5) for _, value in callback.values)
    assert np.allclose(sorted(states.column("values")), desired, atol=1e-4)
    assert states.column("lstm_states").shape[1:] == agent.initial_lstm_states(1).shape[1:]
    assert np.abs(states.column("lstm_states")).max() > 0


def test_action_masks_are_kept():
    class Masked(gym.Wrapper):
        def action_masks(self):
            return np.array([True, False])

    env = DummyVecEnv([lambda: Masked(gym.make("CartPole-v1"))])
    model = MaskablePPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=0)
    seen = TrainingStates(100, 1)
    model.learn(16, callback=Watcher(seen))
    states = seen.states(take_snapshot(model))
    assert (states.column("action_masks") == [1, 0]).all()
    assert (states.greedy == 0).all()


def test_ars_does_not_say_what_it_sees():
    model = ARS("LinearPolicy", "CartPole-v1", n_delta=1, seed=0)
    with pytest.raises(ExplainError, match="ARS does not show callbacks its observations"):
        model.learn(100, callback=Watcher(TrainingStates(10, 1)))


def test_probes_are_spread_over_the_beginning():
    model = make("ppo")
    monitored = MonitorStates(4, 128, 0, N_STACK)
    retained = []

    class Probing(BaseCallback):
        def _on_step(self):
            before = len(monitored._seen)
            monitored.watch(read_step(self.model, self.locals), self.num_timesteps)
            retained.extend([self.num_timesteps] * (len(monitored._seen) - before))
            return True

    model.learn(256, callback=Probing())
    assert retained == [2, 32, 64, 96]  # the first at once, of two environments
    assert len(monitored.states(take_snapshot(model))) == 4
