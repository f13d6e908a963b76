"""Masked return against a slow loop of single environments, and where its answer is known."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.evaluation.masked_return import masked_return
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.controls import Empty
from sb3_explain.states.baselines import Black, fit_to_frames

LENGTH = 30


class Sides(gym.Env[np.ndarray, int]):
    """The first feature says which action is worth 1; the second is noise. Lengths differ."""

    observation_space = spaces.Box(-2, 2, (2,), np.float32)
    action_space = spaces.Discrete(2, start=5)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = LENGTH + int(self.np_random.integers(5))
        return self._see(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = float((self.seen[0] > 0) == (action == 6))
        self.left -= 1
        return self._see(), reward, self.left == 0, False, {}

    def _see(self) -> np.ndarray:
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen


class Pair(Sides):
    """The same game, observed as a dict."""

    observation_space = spaces.Dict(
        left=spaces.Box(-2, 2, (1,), np.float32), right=spaces.Box(-2, 2, (1,), np.float32)
    )
    action_space = spaces.Discrete(2)

    def _see(self) -> dict[str, np.ndarray]:
        seen = super()._see()
        return {"left": seen[:1], "right": seen[1:]}

    def step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, dict]:
        return super().step(int(action) + 5)


class Steered(Sides):
    """The same game, where the second action is a number above 0."""

    action_space = spaces.Box(-1, 1, (1,))

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        return super().step(6 if action[0] > 0 else 5)


gym.register("Steered-v0", entry_point=f"{__name__}:Steered")
gym.register("Sides-v0", entry_point=f"{__name__}:Sides")
gym.register("Pair-v0", entry_point=f"{__name__}:Pair")


class Fixed(Explainer):
    """The same mask at every state."""

    name = "fixed"
    gives_masks = True

    def __init__(self, agent, mask):
        super().__init__(agent)
        self.mask = torch.tensor(mask)
        self.baselines = {"": Black()}

    def explain(self, batch):
        return {"": self.mask.expand(len(batch), -1)}


class Sum(nn.Module):
    """Prefers the second action if the newest frame's two features sum up to more than 0.05."""

    def forward(self, observations):
        total = observations[:, -2:].sum(dim=1)
        return torch.stack([torch.full_like(total, 0.05), total], dim=1)


@pytest.fixture
def agent():
    return Agent.from_module(
        Sum(),
        spaces.Box(-2, 2, (4,), np.float32),
        Sides.action_space,
        recipe=EnvRecipe("Sides-v0", frame_stack=2),
    )


def slow_loop(mask, n_episodes, seed, max_steps=None):
    """The agent's rule in plain Python, one environment at a time."""
    returns = []
    for episode in range(n_episodes):
        env = Sides()
        start = np.random.SeedSequence([seed, episode]).generate_state(1)[0]
        seen, _ = env.reset(seed=int(start))
        total, over, steps = 0.0, False, 0
        while not over and steps != max_steps:
            action = 6 if mask[0] * seen[0] + mask[1] * seen[1] > 0.05 else 5
            seen, reward, over, _, _ = env.step(action)
            total, steps = total + reward, steps + 1
        returns.append(total)
    return returns


@pytest.mark.parametrize("max_steps", [None, 7])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_slow_loop(agent, n_envs, max_steps):
    explainer = Fixed(agent, [0.0, 0.0, 1.0, 0.25])
    result = masked_return(explainer, 7, n_envs=n_envs, max_steps=max_steps, seed=4, progress=False)
    for sees, mask in {"full": (1, 1), "masked": (1, 0.25), "empty": (0, 0)}.items():
        np.testing.assert_array_equal(result.returns[sees], slow_loop(mask, 7, 4, max_steps))
    assert result.lengths["full"].tolist() == result.lengths["empty"].tolist()
    table = result.table().set_index("sees")
    assert table.loc["masked", "mean"] == pytest.approx(
        np.mean(slow_loop((1, 0.25), 7, 4, max_steps))
    )
    assert table.loc["masked", "low"] <= table.loc["masked", "mean"] <= table.loc["masked", "high"]


def test_the_mask_that_shows_what_matters_keeps_the_return_and_more(agent):
    """Without the noise the agent errs only between 0 and 0.05: one state in forty."""
    good = masked_return(Fixed(agent, [0.0, 0.0, 1.0, 0.0]), 10, progress=False)
    bad = masked_return(Fixed(agent, [1.0, 1.0, 0.0, 1.0]), 10, progress=False)
    steps = good.lengths["full"].mean()
    assert good.intervals["masked"].mean > 0.93 * steps
    assert abs(bad.intervals["masked"].mean - steps / 2) < 0.1 * steps
    assert good.intervals["masked"].low > good.intervals["full"].high
    assert good.intervals["empty"] == bad.intervals["empty"]


def test_a_share_makes_masks_of_any_map(agent):
    explainer = Fixed(agent, [0.0, -3.0, 9.0, -1.0])
    explainer.gives_masks = False
    with pytest.raises(ExplainError, match="gives no masks: give the share"):
        masked_return(explainer, 2, progress=False)
    result = masked_return(explainer, 5, share=0.25, seed=1, progress=False)
    np.testing.assert_array_equal(result.returns["masked"], slow_loop((1, 0), 5, 1))


def test_a_share_of_a_box_actions_map_is_that_of_the_greatest_magnitude():
    """Feature 0 pulls the action down when the map says -9 of it, and decides all the same."""
    weights = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        weights.weight.copy_(torch.tensor([[1.0, 1.0]]))
    recipe = EnvRecipe("Steered-v0")
    agent = Agent.from_module(weights, spaces.Box(-2, 2, (2,)), Steered.action_space, recipe=recipe)
    result = masked_return(Fixed(agent, [-9.0, 1.0]), 5, share=0.5, progress=False)
    assert (result.returns["masked"] == result.lengths["masked"]).all()  # it sees feature 0 alone


def test_sampled_actions_come_from_the_seed(agent):
    def returns(seed):
        explainer = Fixed(agent, [0.0, 0.0, 1.0, 0.0])
        result = masked_return(
            explainer, 4, deterministic=False, seed=seed, n_envs=2, progress=False
        )
        return result.returns["full"].tolist()

    assert returns(0) == returns(0)
    assert returns(0) != slow_loop((1, 1), 4, 0)


@pytest.mark.parametrize("n_episodes", [4, 5])
def test_few_episodes_are_told_before_they_are_played(agent, n_episodes, caplog):
    masked_return(Fixed(agent, [1.0] * 4), n_episodes, max_steps=2, progress=False)
    messages = [
        "intervals are too narrow with 4 episode(s): for at least 5, play more (n_episodes=)"
    ]
    assert caplog.messages == messages * (n_episodes < 5)


def test_mistakes_are_named(agent):
    with pytest.raises(ExplainError, match="has no baseline"):
        masked_return(Empty(agent), 2, progress=False)
    baselines = fit_to_frames(Black(), {"": None})
    with pytest.raises(ExplainError, match="n_episodes=0: give a whole number"):
        masked_return(Empty(agent), 0, baselines=baselines)
    result = masked_return(Empty(agent), 2, baselines=baselines, progress=False)
    assert result.returns["masked"].tolist() == result.returns["empty"].tolist()


class Everything(Explainer):
    """A mask that hides nothing."""

    name = "everything"
    gives_masks = True

    def explain(self, batch):
        return {name: torch.ones_like(observed) for name, observed in batch.by_key.items()}


@pytest.mark.parametrize(
    ("algo", "policy", "env"),
    [
        (RecurrentPPO, "MlpLstmPolicy", "CartPole-v1"),
        (DQN, "MlpPolicy", "CartPole-v1"),
        (SAC, "MlpPolicy", "Pendulum-v1"),
        (PPO, "MultiInputPolicy", "Pair-v0"),
    ],
)
def test_sb3s_own_rollout(algo, policy, env):
    """With nothing hidden, the return is that of model.predict, LSTM states included."""
    model = algo(policy, env, seed=0, device="cpu")
    agent = Agent.from_model(model, recipe=EnvRecipe(env))
    explainer = Everything(agent)
    explainer.baselines = dict.fromkeys(
        getattr(agent.observation_space, "spaces", {"": None}), Black()
    )
    result = masked_return(
        explainer, 3, n_envs=2, max_steps=40, deterministic=True, seed=9, progress=False
    )
    np.testing.assert_allclose(result.returns["masked"], result.returns["full"], rtol=1e-6)
    for episode in range(3):
        single = gym.make(env)
        start = np.random.SeedSequence([9, episode]).generate_state(1)[0]
        observation, _ = single.reset(seed=int(start))
        state, first, total, over, steps = None, np.ones(1, dtype=bool), 0.0, False, 0
        while not over and steps < 40:
            action, state = model.predict(observation, state, first, deterministic=True)
            observation, reward, terminated, truncated, _ = single.step(action)
            total, steps, first = total + float(reward), steps + 1, np.zeros(1, dtype=bool)
            over = terminated or truncated
        assert result.returns["full"][episode] == pytest.approx(total, rel=1e-4)
