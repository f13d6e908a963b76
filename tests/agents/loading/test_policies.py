"""Names, classes and weights: policies of older versions, of the user's own, on a device."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.policies import ALGORITHMS, build_policy, find_algorithm
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import CASES, make_model


class OwnExtractor(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=6):
        super().__init__(observation_space, features_dim)
        self.net = nn.Linear(observation_space.shape[0], features_dim)

    def forward(self, observations):
        return self.net(observations).relu()


class OwnPolicy(ActorCriticPolicy):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


@pytest.mark.parametrize(
    ("written", "name"),
    [("PPO", "ppo"), ("RecurrentPPO", "ppo_lstm"), ("ppo-lstm", "ppo_lstm"), ("Her", "her"),
     ("MaskablePPO", "maskable_ppo"), (" sac ", "sac")],
)  # fmt: skip
def test_names_of_algorithms(written, name):
    assert find_algorithm(written) == name


def test_an_unknown_algorithm_suggests_the_nearest():
    with pytest.raises(ExplainError, match="did you mean 'qrdqn'"):
        find_algorithm("qr_dqn")


def test_every_algorithm_is_among_the_cases():
    assert {case.algo for case in CASES.values()} == set(ALGORITHMS)


def test_frames_that_the_environment_stacked_are_counted(tmp_path):
    case = CASES["sgqn"]
    model = make_model(case)
    model.save(tmp_path / "agent.zip")
    spaces_ = {"observation_space": case.observation_space, "action_space": case.action_space}
    loaded = load_agent("sgqn", None, folder=tmp_path / "agent.zip", **spaces_)
    assert loaded.n_stack == Agent.from_model(model).n_stack == 2


def test_names_of_older_versions_are_brought_up_to_date():
    model = make_model(CASES["ppo-cnn"])
    weights = model.policy.state_dict()
    # SB3 before 1.8 had one features extractor under one name.
    old = {k: v for k, v in weights.items() if not k.startswith(("pi_feat", "vf_feat"))}
    policy = build_policy(ActorCriticPolicy, {}, old, model.observation_space, model.action_space)
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_layers_shared_in_older_versions_are_refused_in_one_line(tmp_path):
    model = make_model(CASES["ppo"])
    weights = dict(model.policy.state_dict())
    weights["mlp_extractor.shared_net.0.weight"] = torch.zeros(3, 5)
    with pytest.raises(ExplainError, match="has no place"):
        build_policy(ActorCriticPolicy, {}, weights, model.observation_space, model.action_space)


def test_a_device_that_is_there_and_one_that_is_not():
    model = make_model(CASES["ppo"])
    arguments = ActorCriticPolicy, {}, model.policy.state_dict()
    given = model.observation_space, model.action_space
    # "meta" is the one other device of every machine: it shows that the name is honoured
    assert build_policy(*arguments, *given, "meta").device.type == "meta"
    for name in ("nonsense", "cuda:77"):
        with pytest.raises(ExplainError, match=f"no device '{name}'"):
            build_policy(*arguments, *given, name)


def test_no_optimiser_is_made():
    model = make_model(CASES["sac"])
    policy = build_policy(
        type(model.policy), {}, model.policy.state_dict(), model.observation_space,
        model.action_space,
    )  # fmt: skip
    assert policy.actor.optimizer is None and policy.critic.optimizer is None


def test_classes_of_ones_own(tmp_path):
    env = gym.make("CartPole-v1")
    kwargs = {"features_extractor_class": OwnExtractor, "net_arch": [5]}
    model = PPO(OwnPolicy, env, policy_kwargs=kwargs, n_steps=8, batch_size=8)
    model.save(tmp_path / "model")
    path = tmp_path / "model.zip"
    with pytest.raises(ExplainError, match=r"OwnPolicy.*policy_class="):
        load_agent("ppo", "CartPole-v1", folder=path)
    with pytest.raises(ExplainError, match=r"OwnExtractor.*policy_kwargs="):
        load_agent("ppo", "CartPole-v1", folder=path, policy_class=OwnPolicy)
    agent = load_agent(
        "ppo", "CartPole-v1", folder=path, policy_class=OwnPolicy, policy_kwargs=kwargs
    )
    assert agent.fingerprint() == Agent.from_model(model).fingerprint()


def test_spaces_that_do_not_fit_are_refused(tmp_path):
    make_model(CASES["ppo"]).save(tmp_path / "model")
    path = tmp_path / "model.zip"
    box, discrete = spaces.Box(-1, 1, (6,), np.float32), spaces.Discrete(4)
    with pytest.raises(ExplainError, match="weights do not fit"):
        load_agent("ppo", None, folder=path, observation_space=box, action_space=discrete)
    with pytest.raises(ExplainError, match="weights do not fit"):
        load_agent("dqn", None, folder=path, observation_space=box, action_space=discrete)
    with pytest.raises(ExplainError, match="give its gymnasium id or a recipe, or both"):
        load_agent("ppo", None, folder=path)
    with pytest.raises(ExplainError, match=r"not a PassiveEnvChecker: .*env=None"):
        load_agent("ppo", gym.make("CartPole-v1").env.env, folder=path)
    with pytest.raises(ExplainError, match="cannot be made for observations"):
        bits = spaces.MultiBinary(2)
        load_agent("ars", None, folder=path, observation_space=box, action_space=bits)
