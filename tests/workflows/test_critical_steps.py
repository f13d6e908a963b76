"""StateMask: it finds the step that decides the return; fidelity equals a plain loop."""

from collections import Counter
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_explain import Agent, ExplainError, Gradient, StateMask, highlights, why
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.masked_play import draw_action
from sb3_explain.workflows.critical_steps.episode import pick_apart
from sb3_explain.workflows.critical_steps.fidelity import choose_blocks, choose_critical, find_ratio
from sb3_explain.workflows.critical_steps.stored_states import mark_critical_steps
from sb3_explain.workflows.critical_steps.training import Saving
from tests.toys import dot_agent

QUIET = {"progress": False}
STEPS, DECISIVE = 8, 5


class OneStep(gym.Env):
    """Action 1 in one known step of eight earns 10, and nothing else earns anything."""

    observation_space = gym.spaces.Box(0, 1, (STEPS,), np.float32)
    action_space = gym.spaces.Discrete(4)
    decides = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n = 0
        return self.observe(), {}

    def step(self, action):
        earns = action == 1 if self.decides else True
        reward = 10.0 * (self.n == DECISIVE and earns)
        self.n += 1
        return self.observe(), reward, self.n == STEPS, False, {}

    def observe(self):
        return np.eye(STEPS, dtype=np.float32)[self.n % STEPS]


class Constant(OneStep):
    """Whatever is done, the same is earned."""

    decides = False


class Always(torch.nn.Module):
    """Takes action 1 in each state, and values them all alike."""

    def __init__(self):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 0.0]))

    def forward(self, observations):
        return self.scores.expand(len(observations), 4), observations.sum(dim=1)


@pytest.fixture(scope="module", autouse=True)
def short_updates():
    """PPO updates after 16 steps of each environment, in few minibatches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sb3_explain.workflows.critical_steps.training.N_STEPS", 16)
        patch.setattr("sb3_explain.workflows.critical_steps.training.N_MINIBATCHES", 4)
        yield


@pytest.fixture(scope="module")
def agent():
    return Agent.from_module(Always(), OneStep.observation_space, OneStep.action_space)


@pytest.fixture(scope="module")
def cartpole():
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, seed=0, device="cpu")
    return StateMask(model).fit(n_timesteps=32, n_envs=2, **QUIET)  # a model is wrapped


STATES = torch.eye(STEPS)


def test_the_step_that_decides_is_found(agent):
    mask = StateMask(agent).fit(OneStep, 2560, n_envs=16, **QUIET)
    importance = mask.importance(STATES)
    assert importance.argmax() == DECISIVE
    assert importance[DECISIVE] > 0.7 and np.delete(importance, DECISIVE).max() < 0.6
    fidelity = mask.fidelity(OneStep, 1 / STEPS, n_episodes=40, **QUIET)
    # a random action is another one in three of four steps
    assert fidelity.critical.mean == pytest.approx(7.5, abs=2)
    assert fidelity.ratio.mean > 3 and fidelity.critical.low > fidelity.random.high
    assert fidelity.difference.low > 0 and "matter more than others" in str(fidelity)
    assert fidelity.table()["return"].iloc[0] == fidelity.returns["critical"].mean()
    episode = mask.play(env=OneStep, render=False)
    assert episode.top(1) == [DECISIVE] and episode.returns.tolist() == [0.0] * 6 + [10.0] * 3
    assert np.allclose(episode.importance, importance) and (episode.values == 1).all()


def test_where_nothing_matters_importance_is_flat_and_low(agent):
    mask = StateMask(agent).fit(Constant, 2560, n_envs=16, **QUIET)
    importance = mask.importance(STATES)
    assert importance.max() < 0.4 and np.ptp(importance) < 0.2
    fidelity = mask.fidelity(Constant, n_episodes=4, **QUIET)
    assert fidelity.critical[:3] == fidelity.random[:3] == fidelity.blocks[:3] == (0, 0, 0)
    assert fidelity.ratio.mean == np.inf and "no difference" in str(fidelity)


def play_plainly(mask, seed, episode, chosen, arm):
    """Play an episode with random actions at chosen steps; return its return and importance."""
    env = gym.make("CartPole-v1")
    source = np.random.SeedSequence([seed, episode])
    observation, _ = env.reset(seed=int(source.generate_state(1)[0]))
    total, over, importance = 0.0, False, []
    while not over:
        seen = torch.as_tensor(observation[None])
        importance.append(mask.importance(seen)[0])
        action = int(mask.agent.act(seen)[0])
        step = len(importance) - 1
        if step in chosen:
            action = int(np.random.default_rng([seed, episode, step, arm]).random() * 2)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    return total, np.array(importance)


def test_fidelity_equals_a_plain_loop(cartpole):
    seed, share, n = 7, 0.3, 3
    fidelity = cartpole.fidelity(share=share, n_episodes=n, n_envs=1, seed=seed, **QUIET)
    critical = []
    for episode in range(n):
        own, importance = play_plainly(cartpole, seed, episode, (), 0)
        assert fidelity.returns["own"][episode] == own == fidelity.lengths[episode]
        chosen = np.argsort(-importance)[: round(share * len(importance))]
        critical.append(play_plainly(cartpole, seed, episode, chosen, 1)[0])
    assert fidelity.returns["critical"].tolist() == critical
    falls = fidelity.returns["own"] - fidelity.returns["critical"]
    assert fidelity.critical.mean == pytest.approx(falls.mean())


def test_ratio_of_falls():
    critical, random = np.array([8.0, 10.0, 12.0]), np.array([4.0, 5.0, 6.0])
    assert find_ratio(critical, random, 0.95, 0)[:3] == (2, 2, 2)
    assert find_ratio(critical, -random, 0.95, 0).mean == np.inf
    importance, rng = np.array([0.1, 0.9, 0.2, 0.8]), np.random.default_rng(0)
    assert choose_critical(importance, 0.5, rng).tolist() == [1, 3]
    assert pick_apart(np.r_[np.linspace(0, 1, 40), np.zeros(60)], 3) == [39, 34, 29]


def test_blocks_are_as_long_as_critical_runs_and_anywhere():
    importance, rng = np.array([0, 9, 9, 0, 0, 9, 0]), np.random.default_rng(0)
    drawn = Counter(tuple(choose_blocks(importance, 3 / 7, rng).tolist()) for _ in range(6000))
    pairs = [(two, one) for two in range(6) for one in range(7) if one not in (two, two + 1)]
    counts = Counter(tuple(sorted({two, two + 1, one})) for two, one in pairs)
    assert drawn.keys() == counts.keys()
    for steps, n in counts.items():
        assert drawn[steps] / 6000 == pytest.approx(n / len(pairs), abs=0.02)


def test_what_is_saved_is_loaded(cartpole, tmp_path):
    observations = torch.rand(5, 4)
    expected = cartpole.importance(observations)
    assert (expected > 0).all() and (expected < 1).all() and len(set(expected)) == 5
    cartpole.save(tmp_path)
    state = torch.get_rng_state()
    loaded = StateMask.load(cartpole.agent, tmp_path)
    assert (loaded.importance(observations) == expected).all()
    assert loaded.training == cartpole.training and torch.equal(torch.get_rng_state(), state)
    other = PPO("MlpPolicy", "CartPole-v1", n_steps=8, seed=1, device="cpu")
    with pytest.raises(ExplainError, match=r"other settings \(agent\)"):
        StateMask.load(other, tmp_path)
    (tmp_path / "last.safetensors").write_bytes(b"damaged")
    with pytest.raises(ExplainError, match=r"last\.safetensors"):
        StateMask.load(cartpole.agent, tmp_path)


def test_stored_states_are_rated(cartpole, tmp_path):
    agent = cartpole.agent
    with pytest.raises(ExplainError, match="critical holds no StateMask: fit one there first"):
        highlights(agent, tmp_path, importance="critical")
    cartpole.save(tmp_path / "critical")
    (found,) = highlights(
        agent, tmp_path, k=1, n_states=60, before=1, after=1, importance="critical",
        explainer="gradient", **QUIET,
    )  # fmt: skip
    states = StateDataset.open(tmp_path / "episodes")
    expected = cartpole.importance(torch.as_tensor(states.frames().numpy()))
    assert found.position == expected.argmax() and found.importance == pytest.approx(expected.max())
    shown = np.arange(20, 50)
    marks = mark_critical_steps(tmp_path, agent, states, shown)
    assert marks[0].position == 20 + expected[shown].argmax() and len(marks) == 3
    assert marks[0].label == f"critical step 1: importance {expected[shown].max():.2f}"
    assert mark_critical_steps(tmp_path / "other", agent, states, shown) == []
    answer = why(states, 7, Gradient(agent), state_mask=cartpole)
    share = (expected < expected[7]).mean()
    assert f"matters by {expected[7]:.2f} in [0, 1], by StateMask: more than in {share:.0%}" in str(
        answer
    )


def test_a_killed_fit_goes_on(agent, tmp_path, monkeypatch):
    settings = {"n_envs": 2, "folder": tmp_path, **QUIET}
    save = Saving.save

    def die_after(saving):
        save(saving)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Saving, "save", die_after)
        with pytest.raises(KeyboardInterrupt):
            StateMask(agent).fit(OneStep, 64, **settings)
    left = StateMask.load(agent, tmp_path)
    assert left.training.step == 32 and not left.training.finished
    resumed = StateMask(agent).fit(OneStep, 64, **settings)
    assert [row["step"] for row in resumed.training.history] == [32, 64]
    assert resumed.training.finished
    weights = StateMask.load(agent, tmp_path).importance(STATES)
    assert (weights == resumed.importance(STATES)).all()
    assert (weights != left.importance(STATES)).any()
    with pytest.raises(ExplainError, match=r"other settings \(bonus\)"):
        StateMask(agent).fit(OneStep, 64, bonus=0.1, **settings)


def test_the_same_seed_gives_the_same_mask(agent):
    fits = [StateMask(agent).fit(OneStep, 64, n_envs=2, **QUIET).importance(STATES) for _ in "ab"]
    assert (fits[0] == fits[1]).all()


def test_pictures_and_memories_are_observed_by_their_last_hidden_layer():
    dots = StateMask(dot_agent()).fit(n_timesteps=16, n_envs=2, **QUIET)
    episode = dots.play(max_steps=30, n_pictures=2)
    assert len(episode.importance) == 30 and sorted(episode.frames) == sorted(episode.top(2))
    lstm = {"lstm_hidden_size": 8, "net_arch": [8]}
    model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, seed=0, device="cpu",
                         policy_kwargs=lstm)  # fmt: skip
    mask = StateMask(model).fit(n_timesteps=16, n_envs=2, **QUIET)
    assert len(mask.play(max_steps=5, render=False).importance) == 5
    zeros, states = torch.zeros(1, 4), mask.agent.initial_lstm_states(1)
    hidden = mask.importance(zeros, states), mask.importance(zeros, states + 1)
    assert hidden[0] != hidden[1]


def test_random_actions_are_allowed_ones():
    agent = Agent.from_module(Always(), OneStep.observation_space, OneStep.action_space)
    envs = SimpleNamespace(agent=agent, each=[SimpleNamespace(action_space=agent.action_space)])
    rng = np.random.default_rng(0)
    drawn = [draw_action(envs, 0, torch.tensor([0, 1, 0, 1]), rng) for _ in range(40)]
    assert set(map(int, drawn)) == {1, 3}
    assert {int(draw_action(envs, 0, None, rng)) for _ in range(60)} == {0, 1, 2, 3}
    space = gym.spaces.Box(-2, 3, (2,), np.float32)
    boxes = SimpleNamespace(agent=agent, each=[SimpleNamespace(action_space=space)])
    many = np.array([draw_action(boxes, 0, None, rng) for _ in range(200)])
    assert many.min() < -1.5 and many.max() > 2.5 and all(space.contains(one) for one in many)


def test_mistakes_end_in_one_line(agent, cartpole, tmp_path):
    with pytest.raises(ExplainError, match="not fitted: call fit"):
        StateMask(agent).importance(STATES)
    with pytest.raises(ExplainError, match="holds no StateMask"):
        StateMask.load(agent, tmp_path)
    for call, said in (
        (lambda: StateMask(agent).fit(OneStep, 0), "n_timesteps=0"),
        (lambda: StateMask(agent).fit(OneStep, bonus=-1), "bonus=-1"),
        (lambda: StateMask(agent).fit(DummyVecEnv([OneStep])), "VecEnv cannot play"),
        (lambda: StateMask(agent).fit(), "name one with env="),
        (lambda: cartpole.fidelity(share=2), "share=2"),
        (lambda: cartpole.fidelity(n_episodes=1), "n_episodes=1"),
        (lambda: cartpole.play(episode=-1), "episode=-1"),
        (lambda: cartpole.importance(torch.zeros(1, 3)), "do not fit this agent"),
    ):
        with pytest.raises(ExplainError, match=said):
            call()
