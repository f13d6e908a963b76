"""State dicts under the names of older versions give the same policy."""

import io
import itertools
import zipfile

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.older_weights import modernize_weights
from sb3_explain.agents.loading.policies import build_policy
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import CASES, Noise, make_model

VECTOR, ACTIONS = spaces.Box(-2, 2, (5,), np.float32), spaces.Discrete(4)


def test_one_features_extractor_under_one_name():
    model = make_model(CASES["ppo-cnn"])
    weights = model.policy.state_dict()
    # SB3 before 1.8
    old = {k: v for k, v in weights.items() if not k.startswith(("pi_feat", "vf_feat"))}
    policy = build_policy(ActorCriticPolicy, {}, old, model.observation_space, model.action_space)
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def draw_layers(prefix, sizes, generator):
    """Linear layers as SB3 numbers them: each is followed by its activation."""
    weights = {}
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        weights[f"{prefix}.{2 * layer}.weight"] = torch.randn(n_out, n_in, generator=generator)
        weights[f"{prefix}.{2 * layer}.bias"] = torch.randn(n_out, generator=generator)
    return weights


def make_shared(shared, pi, vf):
    """A state dict of net_arch=[*shared, dict(pi=pi, vf=vf)] of SB3 1.0 to 1.7."""
    generator = torch.Generator().manual_seed(0)
    last = [5, *shared][-1]
    return {
        **draw_layers("mlp_extractor.shared_net", [5, *shared], generator),
        **draw_layers("mlp_extractor.policy_net", [last, *pi], generator),
        **draw_layers("mlp_extractor.value_net", [last, *vf], generator),
        "action_net.weight": torch.randn(4, [last, *pi][-1], generator=generator),
        "action_net.bias": torch.randn(4, generator=generator),
        "value_net.weight": torch.randn(1, [last, *vf][-1], generator=generator),
        "value_net.bias": torch.randn(1, generator=generator),
    }


def pass_by_hand(weights, part, activation, latent):
    """Layers 0, 2, 4, ... of one part of the old network, each with its activation."""
    layer = 0
    while f"mlp_extractor.{part}.{layer}.weight" in weights:
        weight, bias = (
            weights[f"mlp_extractor.{part}.{layer}.{kind}"] for kind in ("weight", "bias")
        )
        latent = activation(latent @ weight.T + bias)
        layer += 2
    return latent


@pytest.mark.parametrize(
    ("shared", "pi", "vf"),
    [([16], [], []), ([16, 8], [], []), ([7], [6], [5, 4]), ([9, 8, 7], [3], []), ([6], [], [5])],
)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_layers_that_both_heads_share_give_the_same_function(shared, pi, vf, activation, tmp_path):
    weights = make_shared(shared, pi, vf)
    net_arch = [*shared, {"pi": pi, "vf": vf}]  # what the file says, as no SB3 of today would
    path = save_old(A2C("MlpPolicy", Noise(VECTOR, ACTIONS)), weights, activation, tmp_path)
    agent = load_agent("a2c", None, folder=path)
    again = load_agent("a2c", None, folder=path, policy_kwargs={"net_arch": net_arch})
    assert again.fingerprint() == agent.fingerprint()

    observations = torch.randn(100, 5, generator=torch.Generator().manual_seed(1))
    latent = pass_by_hand(weights, "shared_net", activation(), observations)
    latent_pi = pass_by_hand(weights, "policy_net", activation(), latent)
    latent_vf = pass_by_hand(weights, "value_net", activation(), latent)
    scores, values = agent.scores_and_values(observations)
    own_scores = latent_pi @ weights["action_net.weight"].T + weights["action_net.bias"]
    own_values = latent_vf @ weights["value_net.weight"].T + weights["value_net.bias"]
    torch.testing.assert_close(scores, own_scores)
    torch.testing.assert_close(values, own_values[:, 0])


def save_old(model, weights, activation, folder):
    """A zip with a state dict under the names of an older version."""
    model.policy_kwargs["activation_fn"] = activation
    model.save(folder / "today.zip")
    content = io.BytesIO()
    torch.save(weights, content)
    with (
        zipfile.ZipFile(folder / "today.zip") as today,
        zipfile.ZipFile(folder / "old.zip", "w") as old,
    ):
        for name in today.namelist():
            old.writestr(name, content.getvalue() if name == "policy.pth" else today.read(name))
    return folder / "old.zip"


def test_shared_layers_in_front_of_a_recurrent_policy(tmp_path):
    model = RecurrentPPO(
        "MlpLstmPolicy",
        Noise(VECTOR, ACTIONS),
        policy_kwargs={"net_arch": [6], "lstm_hidden_size": 8},
        device="cpu",
    )
    now = model.policy.state_dict()
    old = {}
    for name, tensor in now.items():
        if name.startswith("mlp_extractor.value_net"):
            now[name].copy_(now[name.replace("value_net", "policy_net")])  # shared: both the same
        elif name.startswith("mlp_extractor.policy_net"):
            old[name.replace("policy_net", "shared_net")] = tensor
        else:
            old[name] = tensor
    agent = load_agent("ppo_lstm", None, folder=save_old(model, old, nn.Tanh, tmp_path))
    for name, tensor in agent.view.policy.state_dict().items():
        assert torch.equal(tensor, now[name]), name


def test_shared_layers_that_do_not_fit_are_refused_in_one_line():
    weights = make_shared([16], [8], [8])
    del weights["mlp_extractor.shared_net.0.bias"]
    with pytest.raises(ExplainError, match=r"policy_net\.0\.bias is missing"):
        build_policy(ActorCriticPolicy, {}, weights, VECTOR, ACTIONS)


def test_the_weights_given_are_left_as_they_are():
    weights = make_shared([16], [8], [8])
    names = list(weights)
    modern = modernize_weights(weights)
    assert list(weights) == names and not any("shared_net" in name for name in modern)


def test_todays_weights_stay_what_they_are():
    weights = PPO("MlpPolicy", Noise(VECTOR, ACTIONS)).policy.state_dict()
    assert modernize_weights(weights).keys() == weights.keys()
