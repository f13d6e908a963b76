"""Policies and features extractors of the user's own, and the user's words over the file's."""

import functools
import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError

RUN = {"n_steps": 8, "batch_size": 8, "device": "cpu"}


class OwnExtractor(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=6, negative=False):
        super().__init__(observation_space, features_dim)
        self.net = nn.Linear(observation_space.shape[0], features_dim)
        self.sign = -1 if negative else 1

    def forward(self, observations):
        return self.sign * self.net(observations).relu()


class OwnPolicy(ActorCriticPolicy):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


class SetsAll(DQNPolicy):
    def __init__(self, *args, **kwargs):
        extractor = {"features_extractor_class": OwnExtractor}
        words = {"features_extractor_kwargs": {"features_dim": 24}, "net_arch": [12]}
        super().__init__(*args, **extractor, **words, **kwargs)


class OtherNames(DQNPolicy):
    """Calls SB3's arguments by names of its own, and hands them on by position."""

    def __init__(self, seen, done, rate, net_arch=None, width=4):
        super().__init__(seen, done, rate, [width, width], nn.ELU)


class OwnWidths(ActorCriticPolicy):
    """Means by net_arch something else than SB3: networks of its own."""

    def __init__(self, observation_space, action_space, lr_schedule, net_arch=(3,), **kwargs):
        self.widths = [2 * int(width) for width in net_arch]
        super().__init__(observation_space, action_space, lr_schedule, net_arch=[], **kwargs)

    def _build_mlp_extractor(self):
        super()._build_mlp_extractor()
        sizes = [self.features_dim, *self.widths]
        pairs = itertools.pairwise(sizes)
        layers = [layer for n, m in pairs for layer in (nn.Linear(n, m), nn.Tanh())]
        self.mlp_extractor.policy_net = nn.Sequential(*layers)
        self.mlp_extractor.value_net = nn.Sequential(*layers)
        self.mlp_extractor.latent_dim_pi = self.mlp_extractor.latent_dim_vf = sizes[-1]


def same(agent, model):
    observations = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    predicted, _ = model.predict(observations, deterministic=True)
    assert len(np.unique(predicted)) > 1
    np.testing.assert_array_equal(agent.act(agent.tensor(observations)), predicted)


def save(model, folder):
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
            )
    model.save(folder / "model")
    return folder / "model.zip"


def test_classes_are_asked_for_by_name(tmp_path):
    kwargs = {"features_extractor_class": OwnExtractor, "net_arch": [5]}
    model = PPO(OwnPolicy, "CartPole-v1", policy_kwargs=kwargs, **RUN)
    path = save(model, tmp_path)
    with pytest.raises(ExplainError, match=r"OwnPolicy.*policy_class="):
        load_agent("ppo", "CartPole-v1", folder=path)
    with pytest.raises(ExplainError, match=r"OwnExtractor.*policy_kwargs="):
        load_agent("ppo", "CartPole-v1", folder=path, policy_class=OwnPolicy)
    agent = load_agent(
        "ppo", "CartPole-v1", folder=path, policy_class=OwnPolicy, policy_kwargs=kwargs
    )
    assert agent.fingerprint() == Agent.from_model(model).fingerprint()


@pytest.mark.parametrize(
    ("algorithm", "policy", "kwargs"),
    [(DQN, SetsAll, {}), (DQN, OtherNames, {}), (DQN, OtherNames, {"width": 7}),
     (PPO, OwnWidths, {}), (PPO, OwnWidths, {"net_arch": [4, 5]})],
)  # fmt: skip
def test_classes_that_hand_arguments_of_their_own_to_sb3(algorithm, policy, kwargs, tmp_path):
    more = RUN if algorithm is PPO else {"device": "cpu"}
    model = algorithm(policy, "CartPole-v1", policy_kwargs=dict(kwargs), **more)
    path = save(model, tmp_path)
    agent = load_agent(algorithm, "CartPole-v1", folder=path, policy_class=policy)
    assert agent.fingerprint() == Agent.from_model(model).fingerprint()
    same(agent, model)


def test_the_users_words_go_over_the_files(tmp_path):
    kwargs = {"features_extractor_class": OwnExtractor, "activation_fn": nn.ReLU}
    own = {"features_extractor_kwargs": {"features_dim": 9, "negative": True}}
    model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs={**kwargs, **own}, **RUN)
    path = save(model, tmp_path)
    words = {"features_extractor_class": OwnExtractor}
    agent = load_agent("ppo", "CartPole-v1", folder=path, policy_kwargs=words)
    assert isinstance(agent.view.policy.mlp_extractor.policy_net[1], nn.ReLU)
    assert agent.view.policy.features_extractor.sign == -1
    same(agent, model)
    other = load_agent(
        "ppo", "CartPole-v1", folder=path, policy_kwargs={**words, "activation_fn": nn.ELU}
    )
    assert isinstance(other.view.policy.mlp_extractor.policy_net[1], nn.ELU)


def test_the_users_words_go_over_those_of_config_yml(tmp_path):
    run = tmp_path / "ppo" / "CartPole-v1_1"
    (run / "CartPole-v1").mkdir(parents=True)
    model = PPO(
        "MlpPolicy",
        "CartPole-v1",
        policy_kwargs={"features_extractor_class": OwnExtractor, "activation_fn": nn.ReLU},
        **RUN,
    )
    save(model, run).rename(run / "CartPole-v1.zip")
    text = "dict(features_extractor_class=OwnExtractor, activation_fn=nn.ReLU)"
    (run / "CartPole-v1" / "config.yml").write_text(yaml.safe_dump({"policy_kwargs": text}))
    words = {"features_extractor_class": OwnExtractor}
    agent = load_agent("ppo", "CartPole-v1", folder=tmp_path, policy_kwargs=words)
    same(agent, model)
    with pytest.raises(ExplainError, match="'OwnExtractor' is not a literal"):
        load_agent("ppo", "CartPole-v1", folder=tmp_path)


def test_an_argument_that_the_class_does_not_have_is_refused(tmp_path):
    path = save(PPO(OwnPolicy, "CartPole-v1", **RUN), tmp_path)
    with pytest.raises(ExplainError, match="did you mean 'activation_fn'"):
        load_agent(
            "ppo", "CartPole-v1", folder=path, policy_class=OwnPolicy,
            policy_kwargs={"activation_fm": nn.ReLU},
        )  # fmt: skip


def test_an_argument_that_the_class_gives_itself_is_refused_as_sb3_does(tmp_path):
    path = save(DQN(SetsAll, gym.make("CartPole-v1"), device="cpu"), tmp_path)
    with pytest.raises(ExplainError, match="multiple values for keyword argument 'net_arch'"):
        load_agent(
            "dqn", "CartPole-v1", folder=path, policy_class=SetsAll,
            policy_kwargs={"net_arch": [12]},
        )  # fmt: skip


def test_what_makes_an_activation_is_code_too(tmp_path):
    steep = functools.partial(nn.LeakyReLU, 0.5)
    model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"activation_fn": steep}, **RUN)
    model.save(tmp_path / "m.zip")
    with pytest.raises(ExplainError, match=r"'activation_fn'\] is .*code that a file cannot bring"):
        load_agent("ppo", "CartPole-v1", folder=tmp_path / "m.zip")
    agent = load_agent(
        "ppo", "CartPole-v1", folder=tmp_path / "m.zip", policy_kwargs={"activation_fn": steep}
    )
    seen = torch.randn(9, 4)
    torch.testing.assert_close(agent.values(seen), model.policy.predict_values(seen)[:, 0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policy_kwargs": {"net_ach": [3]}}, "'net_ach'; did you mean 'net_arch'"),
        ({"policy_kwargs": {"activation_fn": "relu"}}, "'relu': give the class itself"),
        ({"observation_space": (4,)}, "observation_space must be a space of gymnasium, not"),
        ({"action_space": 2}, "action_space must be a space of gymnasium, not"),
        ({"recipe": "CartPole-v1"}, "recipe must be of class EnvRecipe, not str"),
    ],
    ids=["typo", "text", "shape", "number", "recipe"],
)
def test_words_of_the_user_that_mean_nothing_are_refused(tmp_path, given, said):
    PPO("MlpPolicy", "CartPole-v1", **RUN).save(tmp_path / "m.zip")
    with pytest.raises(ExplainError, match=said):
        load_agent("ppo", "CartPole-v1", folder=tmp_path / "m.zip", **given)
