"""Agents whose environment is not here load by algorithm and name alone, and explain."""

import json
import re
import zipfile
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain import EXPLAINERS, ExplainError, collect, load_agent, make_explainer
from sb3_explain.explainers.base import FittedExplainer
from tests.agents.loading.models import Noise


def box(low, high, n, dtype=np.float32):
    return spaces.Box(low, high, (n,), dtype)


def goal(n):
    return spaces.Dict(
        achieved_goal=box(-np.inf, np.inf, 3), desired_goal=box(-np.inf, np.inf, 3),
        observation=box(-np.inf, np.inf, n),
    )  # fmt: skip


class StandIn(NamedTuple):
    """One kind of public zip."""

    env_id: str
    observation_space: spaces.Space
    action_space: spaces.Space
    algorithm: type[BaseAlgorithm]
    algo: str
    says: str


KINDS = [
    StandIn("AntBulletEnv-v0", box(-np.inf, np.inf, 28), box(-1, 1, 8), PPO, "ppo", "pybullet"),
    StandIn("GoneForEver-v7", box(-1, 1, 5), spaces.Discrete(3), PPO, "ppo", "cannot be made"),
    StandIn("FetchReach-v1", goal(10), box(-1, 1, 4), SAC, "her", "gymnasium-robotics"),
    StandIn("PandaReach-v1", goal(6), box(-1, 1, 3), SAC, "her", "panda-gym"),
]
VERSIONS = [
    ("Ant-v3", "Ant-v4", box(-np.inf, np.inf, 111, np.float64), box(-1, 1, 8)),
    ("Humanoid-v3", "Humanoid-v4", box(-np.inf, np.inf, 376, np.float64), box(-0.4, 0.4, 17)),
]


def save(algorithm, observation_space, action_space, folder):
    """A model, and its zip with spaces in the words of gym, beside what is no pickle."""
    policy = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
    more = {"n_steps": 8, "batch_size": 8} if algorithm is PPO else {"buffer_size": 10}
    env = Noise(observation_space, action_space)
    model = algorithm(policy, env, policy_kwargs={"net_arch": [8]}, device="cpu", **more)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.save(folder / "today.zip")
    path = folder / "agent.zip"
    with zipfile.ZipFile(folder / "today.zip") as today, zipfile.ZipFile(path, "w") as old:
        for name in today.namelist():
            content = today.read(name)
            old.writestr(name, write_as_gym(content) if name == "data" else content)
    return model, path


def write_as_gym(content):
    data = json.loads(content)
    for name in ("observation_space", "action_space"):
        said = data[name]
        said[":type:"] = said[":type:"].replace("gymnasium", "gym")
        said["shape"] = said.pop("_shape")
        said[":serialized:"] = "bm90IGEgcGlja2xl"
        for short in ("low_repr", "high_repr", "start", "sort_keys"):
            said.pop(short, None)
        if isinstance(said.get("spaces"), str):
            pairs = re.sub(r"('\w+'): (Box\(.*?\(\d+,\), \w+\))", r"(\1, \2)", said["spaces"])
            said["spaces"] = f"OrderedDict([{pairs.strip('{}')}])"
    return json.dumps(data)


def draw(space, n=200):
    if isinstance(space, spaces.Dict):
        return {key: draw(part, n) for key, part in space.spaces.items()}
    return np.random.default_rng(0).normal(size=(n, *space.shape)).astype(space.dtype)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.env_id)
def test_an_environment_that_is_not_here(kind, tmp_path, caplog):
    model, path = save(kind.algorithm, kind.observation_space, kind.action_space, tmp_path)
    agent = load_agent(kind.algo, kind.env_id, folder=path)

    (warning,) = caplog.messages
    assert kind.env_id in warning and kind.says in warning and "\n" not in warning
    assert warning in agent.provenance["notes"]
    assert agent.recipe.env_id == kind.env_id
    assert agent.observation_space == kind.observation_space
    assert agent.action_space == kind.action_space

    observations = draw(kind.observation_space)
    predicted, _ = model.predict(observations, deterministic=True)
    np.testing.assert_allclose(agent.act(agent.tensor(observations)), predicted, atol=1e-5)

    with pytest.raises(ExplainError, match=kind.says):
        collect(agent, n_states=10, folder=tmp_path / "states")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.env_id)
def test_every_explainer_that_supports_it_explains_observations(kind, tmp_path):
    _, path = save(kind.algorithm, kind.observation_space, kind.action_space, tmp_path)
    agent = load_agent(kind.algo, kind.env_id, folder=path)
    observations = agent.tensor(draw(kind.observation_space, 3))
    explained = 0
    for name, explainer_class in EXPLAINERS.items():
        if explainer_class.unsupported(agent) or issubclass(explainer_class, FittedExplainer):
            continue
        parts = make_explainer(name, agent).attribute(observations)
        for key, part in (parts if isinstance(parts, dict) else {"": parts}).items():
            given = observations[key] if isinstance(observations, dict) else observations
            assert part.shape == given.shape and torch.isfinite(part).all(), (name, key)
        explained += 1
    assert explained >= 3


@pytest.mark.parametrize(("gone", "stands_in", "observed", "actions"), VERSIONS)
def test_the_version_whose_observations_fit_stands_in(
    gone, stands_in, observed, actions, tmp_path, caplog
):
    pytest.importorskip("mujoco")
    model, path = save(PPO, observed, actions, tmp_path)
    agent = load_agent("ppo", gone, folder=path)
    assert agent.recipe.env_id == stands_in
    (note,) = agent.provenance["notes"]
    assert gone in note and stands_in in note and note in caplog.messages
    observations = draw(observed)
    predicted, _ = model.predict(observations, deterministic=True)
    np.testing.assert_allclose(agent.act(agent.tensor(observations)), predicted, atol=1e-5)
    assert gym.spec(stands_in) is not None
    states = collect(agent, n_states=5, folder=tmp_path / "states", render=False)
    assert states.observations(np.arange(2)).shape == (2, *observed.shape)
