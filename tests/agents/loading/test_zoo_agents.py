"""Published agents of the zoo, saved in 2020 to 2022 with gym: they load and play."""

import importlib.util

import numpy as np
import pytest
import torch
from gymnasium import spaces

from benchmarks.bench_zoo_returns import episode_return
from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError

AGENTS = [
    ("a2c", "CartPole-v1"),
    ("ars", "CartPole-v1"),
    ("dqn", "CartPole-v1"),
    ("her", "PandaReach-v1"),
    ("ppo", "BipedalWalker-v3"),
    ("ppo", "LunarLander-v2"),
    ("ppo", "MountainCar-v0"),
    ("qrdqn", "CartPole-v1"),
    ("sac", "Pendulum-v1"),
    ("tqc", "Pendulum-v1"),
    ("trpo", "Acrobot-v1"),
]


@pytest.mark.parametrize(("algo", "env"), AGENTS)
def test_loads_and_gives_finite_scores(agents_folder, algo, env):
    agent = load_agent(algo, env, folder=agents_folder)
    space = agent.observation_space
    keys = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    rng = np.random.default_rng(0)
    batch = {key: rng.normal(size=(16, *observed.shape)) for key, observed in keys.items()}
    observations = {key: agent.tensor(value.astype(np.float32)) for key, value in batch.items()}
    scores = agent.scores(observations.get("", observations))
    assert scores.shape == (16, agent.n_scores)
    assert torch.isfinite(scores).all()
    assert len(agent.action_names) == agent.n_scores
    assert agent.algo == algo
    assert str(agents_folder) not in str(agent.describe())


@pytest.mark.parametrize("algo", ["a2c", "ars", "dqn", "qrdqn"])
def test_cartpole_is_balanced(agents_folder, algo):
    agent = load_agent(algo, "CartPole-v1", folder=agents_folder)
    assert np.mean([episode_return(agent, seed) for seed in range(2)]) >= 475


def test_a_renamed_environment_is_used_and_said(agents_folder, caplog):
    agent = load_agent("ppo", "LunarLander-v2", folder=agents_folder)
    assert agent.recipe.env_id == "LunarLander-v3"
    assert agent.action_names == ("nothing", "left engine", "main engine", "right engine")
    (note,) = agent.provenance["notes"]
    assert note in caplog.messages
    assert "LunarLander-v2" in note and "LunarLander-v3" in note


@pytest.mark.parametrize(
    ("algo", "env", "lowest"),
    [("ppo", "MountainCar-v0", -160), ("trpo", "Acrobot-v1", -200), ("sac", "Pendulum-v1", -500)],
)
def test_statistics_and_noise_free_actions_reach_the_goal(agents_folder, algo, env, lowest):
    agent = load_agent(algo, env, folder=agents_folder)
    assert np.mean([episode_return(agent, seed) for seed in range(3)]) > lowest


def test_statistics_of_a_dict_observation(agents_folder):
    recipe = load_agent("her", "PandaReach-v1", folder=agents_folder).recipe
    assert sorted(recipe.normalizers) == ["achieved_goal", "desired_goal", "observation"]
    assert recipe.normalizers["observation"].mean.shape == (6,)


@pytest.mark.skipif(importlib.util.find_spec("panda_gym") is not None, reason="it is there")
def test_a_missing_package_is_named_and_the_agent_loads(agents_folder, caplog):
    agent = load_agent("her", "PandaReach-v1", folder=agents_folder)
    (message,) = [line for line in caplog.messages if "PandaReach" in line]
    assert "pip install panda-gym" in message and message in agent.provenance["notes"]
    with pytest.raises(ExplainError, match="pip install panda-gym"):
        agent.recipe.make()


def test_a_missing_model_is_said_with_what_is_there(agents_folder):
    with pytest.raises(ExplainError, match=r"no best_model.zip .*there is: CartPole-v1.zip"):
        load_agent("a2c", "CartPole-v1", folder=agents_folder, load_best=True)
    with pytest.raises(ExplainError, match=r"no run 7 .*there are: 1"):
        load_agent("a2c", "CartPole-v1", folder=agents_folder, exp_id=7)
    with pytest.raises(ExplainError, match="did you mean 'ppo/MountainCar-v0'"):
        load_agent("ppo", "MountainCart-v0", folder=agents_folder)
