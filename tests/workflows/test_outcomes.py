"""outcomes: branches equal a plain loop of model and environment; mistakes in a line."""

import itertools
import json

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_explain import Agent, EnvRecipe, ExplainError, outcomes
from sb3_explain.states.branches import reseed

QUIET = {"progress": False}
UNREPEATED = itertools.count()


class Noisy(gym.Env):
    """Action 1 in step 2 earns 10; whatever else is earned is drawn by chance. It takes 6 steps."""

    observation_space = gym.spaces.Box(0, 9, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n = 0
        return self.observe(), {}

    def step(self, action):
        reward = float(self.np_random.integers(5)) + 10 * (self.n == 2 and action == 1)
        self.n += 1
        return self.observe(), reward, self.n == 6, False, {}

    def observe(self):
        return np.array([self.n], np.float32)


class Unrepeatable(Noisy):
    """An environment whose episodes do not follow from their seeds."""

    def observe(self):
        return np.array([next(UNREPEATED) % 10], np.float32)


def make(env_id, **kwargs):
    return PPO("MlpPolicy", gym.make(env_id, **kwargs), n_steps=8, seed=0, device="cpu")


def play_plainly(model, env, step, action, n_steps):
    """Return the rewards of an episode in which the model's action at a step is replaced."""
    observation, _ = env.reset(seed=int(np.random.SeedSequence([0, 0]).generate_state(1)[0]))
    rewards = []
    for at in range(step + n_steps):
        taken, _ = model.predict(observation, deterministic=True)
        given = action if at == step and action is not None else taken
        observation, reward, terminated, truncated, _ = env.step(given)
        rewards.append(float(reward))
        if terminated or truncated:
            break
    return rewards


@pytest.mark.parametrize(
    ("env_id", "kwargs", "action"),
    [
        ("CartPole-v1", {}, 0),
        ("LunarLander-v3", {}, 1),
        ("InvertedPendulum-v5", {}, [1.5]),
        ("ALE/Pong-v5", {"obs_type": "ram"}, 3),  # with the emulator's own sticky actions
    ],
)
def test_branches_are_those_of_a_plain_loop_to_the_bit(env_id, kwargs, action):
    if env_id.startswith("ALE"):
        gym.register_envs(pytest.importorskip("ale_py"))
    if env_id.startswith("Inv"):
        pytest.importorskip("mujoco")
    model = make(env_id, **kwargs)
    agent = Agent.from_model(model, recipe=EnvRecipe(env_id, kwargs))
    step, n_steps = 3, 12
    found = outcomes(
        agent, step, [action], max_steps=n_steps, deterministic=True, n_continuations=1, **QUIET
    )
    own, other = found.outcomes
    plain = gym.make(env_id, **kwargs)
    for outcome, replaced in ((own, None), (other, np.array(action, agent.action_space.dtype))):
        rewards = play_plainly(model, plain, step, replaced, n_steps)
        assert outcome.returns[0] == sum(rewards) - sum(rewards[:step])
        assert outcome.lengths[0] == len(rewards) - step
    assert own.is_own and not other.is_own
    # the lander's engines draw random numbers, and so does the emulator
    assert found.is_exact == (env_id in ("CartPole-v1", "InvertedPendulum-v5"))


class Masked(Noisy):
    """What is earned is the action, and one of three actions is forbidden in each step."""

    action_space = gym.spaces.Discrete(3)

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward + 0.1 * float(action), *rest

    def action_masks(self):
        return np.arange(3) != self.n % 3


TINY = {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "seed": 0, "device": "cpu"}
#: model, and whether it is given action masks
KINDS = {
    "normalized": lambda: PPO(
        "MlpPolicy", VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")])), **TINY
    ).learn(8),
    "recurrent": lambda: RecurrentPPO(
        "MlpLstmPolicy", "Pendulum-v1", policy_kwargs={"lstm_hidden_size": 8}, **TINY
    ),
    "masked": lambda: MaskablePPO("MlpPolicy", Masked(), **TINY),
}


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_memories_and_masks_are_those_of_the_model_itself(kind):
    model = KINDS[kind]()
    step, action = 2, 2 if kind == "masked" else [0.5]
    found = outcomes(
        model, step, [action], env=Masked if kind == "masked" else None, max_steps=9,
        deterministic=True, n_continuations=1, **QUIET,
    )  # fmt: skip
    env = model.get_env()
    if kind == "normalized":
        env.training = False
    for outcome, replaced in zip(found.outcomes, (None, action), strict=True):
        env.seed(int(np.random.SeedSequence([0, 0]).generate_state(1)[0]))
        observations, state, rewards = env.reset(), None, []
        for at in range(step + int(outcome.lengths[0])):
            options = {"action_masks": env.env_method("action_masks")} if kind == "masked" else {}
            if kind == "recurrent":
                options = {"state": state, "episode_start": np.array([at == 0])}
            taken, state = model.predict(observations, deterministic=True, **options)
            given = taken if at != step or replaced is None else np.array([replaced])
            observations, reward, *_ = env.step(given)
            raw = env.get_original_reward() if kind == "normalized" else reward
            rewards.append(float(raw[0]))
        assert outcome.returns[0] == pytest.approx(sum(rewards[step:]), rel=1e-6)
    own, other = found.outcomes
    assert own.returns[0] != other.returns[0]


def test_pairs_of_continuations_share_their_random_numbers():
    model = PPO("MlpPolicy", Noisy(), n_steps=8, seed=0, device="cpu")
    found = outcomes(model, 2, [0, 1], env=Noisy, n_continuations=12, deterministic=False, **QUIET)
    assert not found.is_exact
    own, other = found.outcomes
    gain = 10 if own.action.endswith("0") else -10
    assert (other.returns - own.returns == gain).all() and len(set(own.returns)) > 3
    assert other.difference[:3] == (gain, gain, gain)
    assert own.interval.low < own.interval.mean < own.interval.high
    assert found.table().difference.tolist() == [0, gain]


def test_an_emulator_is_given_other_random_numbers_and_nothing_else():
    gym.register_envs(pytest.importorskip("ale_py"))

    def play(stickiness, seed):
        env = gym.make("ALE/Pong-v5", obs_type="ram", repeat_action_probability=stickiness)
        env.reset(seed=4)
        random = np.random.default_rng(0)
        seen = []
        for step in range(60):
            if step == 30 and seed is not None:
                reseed(env.unwrapped, np.random.default_rng(seed))
            seen.append(env.step(int(random.integers(6)))[0].tobytes())
        return seen

    assert play(0.0, None) == play(0.0, 7)
    assert play(0.25, 7) == play(0.25, 7) != play(0.25, 8)
    assert play(0.25, None)[:30] == play(0.25, 7)[:30]


def test_video_sheet_and_numbers_are_saved(tmp_path):
    model = make("CartPole-v1")
    found = outcomes(model, 4, max_steps=3, render=True, **QUIET)
    assert found.is_exact and "nothing is random: exact" in str(found)
    first, second = (one.frames for one in found.outcomes)
    assert list(first) == list(second) == list(range(8))
    assert all(np.array_equal(first[step], second[step]) for step in range(5))
    assert not np.array_equal(first[7], second[7])
    assert found.save(tmp_path) == tmp_path / "outcomes.mp4"
    assert {path.suffix for path in tmp_path.iterdir()} == {".mp4", ".gif", ".png", ".json", ".txt"}
    assert (tmp_path / "outcomes.txt").read_text() == f"{found}\n"
    saved = json.loads((tmp_path / "outcomes.json").read_text())
    assert saved["outcomes"][0]["returns"] == found.outcomes[0].returns.tolist()


def test_mistakes_end_in_one_line():
    model = make("CartPole-v1")
    pendulum = PPO("MlpPolicy", "Pendulum-v1", n_steps=8, device="cpu")
    for taker, step, actions, env, said in (
        (model, 600, None, None, "give a step below that"),
        (model, -1, None, None, "step=-1"),
        (model, 1, ["lefd"], None, "left"),
        (pendulum, 1, None, None, r"give actions=\[...\]"),
        (pendulum, 1, [[9.0]], None, "is no action of Box"),
        (model, 1, None, DummyVecEnv([lambda: gym.make("CartPole-v1")]), "VecEnv cannot play"),
    ):
        with pytest.raises(ExplainError, match=said):
            outcomes(taker, step, actions, env=env, **QUIET)
    noisy = PPO("MlpPolicy", Noisy(), n_steps=8, device="cpu")
    with pytest.raises(ExplainError, match="differs at step 0: outcomes need an environment in wh"):
        outcomes(noisy, 2, env=Unrepeatable, **QUIET)
