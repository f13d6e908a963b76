"""Attributions of layers equal derivatives by hand, Captum called by hand, and are complete."""

import numpy as np
import pytest
import torch
from captum import attr
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent, ExplainError, layer_attributions
from tests.explainers.kinds import agent_of, states_of


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    layers = [nn.Linear(3, 6), nn.ReLU(inplace=True), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)]
    return Agent.from_module(
        nn.Sequential(*layers), spaces.Box(-2, 2, (3,), np.float32), spaces.Discrete(2),
        action_names=["left", "right"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def observations():
    return torch.as_tensor(np.random.default_rng(0).normal(size=(4, 3)), dtype=torch.float)


@pytest.mark.parametrize("layer", ["0", "1", "2"])
def test_gradient_x_activation_equals_the_derivative_by_hand(agent, observations, layer):
    found = layer_attributions(agent, observations, layer, "right - left")
    w0, w2, w4 = (agent.view.policy[i].weight for i in (0, 2, 4))
    before = observations @ w0.T + agent.view.policy[0].bias
    hidden = before.relu() @ w2.T + agent.view.policy[2].bias
    slope = (w4[1] - w4[0]) * (1 - hidden.tanh() ** 2)
    expected = {"2": slope * hidden, "1": (slope @ w2) * before.relu()}
    expected["0"] = (slope @ w2) * (before > 0) * before
    torch.testing.assert_close(found, expected[layer], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["gradient_x_activation", "integrated_gradients", "conductance"])
def test_they_equal_captum_called_by_hand(agent, observations, method):
    found = layer_attributions(agent, observations, "3", 1, method=method, n_steps=20)
    net = agent.view.policy
    by_hand = {
        "gradient_x_activation": attr.LayerGradientXActivation,
        "integrated_gradients": attr.LayerIntegratedGradients,
        "conductance": attr.LayerConductance,
    }[method](net, net[3])
    options = {} if method == "gradient_x_activation" else {"n_steps": 20}
    expected = by_hand.attribute(observations.clone().requires_grad_(), target=1, **options)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", ["0", "2"])
def test_conductance_adds_up_to_the_difference_of_the_scores(agent, observations, layer):
    found = layer_attributions(agent, observations, layer, 0, method="conductance", n_steps=400)
    difference = agent.scores(observations) - agent.scores(torch.zeros(4, 3))
    torch.testing.assert_close(found.sum(dim=1), difference[:, 0], rtol=0, atol=0.02)


@pytest.mark.parametrize("name", ["image, vector, category", "recurrent", "category"])
def test_they_have_the_shape_of_the_activations_of_any_layer(name):
    agent, states = agent_of(name), states_of(name)
    seen, inputs = states.observations([0, 1]), states.policy_inputs([0, 1])
    said = agent.activations(agent.tensor(seen), agent.layers, inputs.get("lstm_states"))
    left_out = []
    for layer, output in said.items():
        try:
            found = layer_attributions(agent, seen, layer, 1, policy_inputs=inputs)
        except ExplainError:
            left_out.append(layer)
        else:
            assert found.shape == output.shape and not found.requires_grad
    # the scores alone pass no critic, and call the two halves of mlp_extractor by themselves
    of_value = {layer for layer in said if "value" in layer or "critic" in layer}
    assert set(left_out) <= of_value | {"mlp_extractor"} and "action_net" not in left_out


def test_the_layer_and_its_outputs_are_as_they_were(agent, observations):
    before = agent.scores(observations)
    layer_attributions(agent, observations, "0", 1)
    assert torch.equal(agent.scores(observations), before)
    assert not any(module._forward_hooks for module in agent.view.policy.modules())


def test_mistakes_end_in_one_line(agent, observations):
    with pytest.raises(ExplainError, match="unknown layer '7'"):
        layer_attributions(agent, observations, "7")
    with pytest.raises(ExplainError, match="did you mean 'conductance'"):
        layer_attributions(agent, observations, "0", method="conductanse")
    with pytest.raises(ExplainError, match="n_steps=0: give at least 1"):
        layer_attributions(agent, observations, "0", method="conductance", n_steps=0)
    actor = agent_of("vector, tanh")
    with pytest.raises(ExplainError, match="value_net has no part in action 1, or no"):
        layer_attributions(actor, states_of("vector, tanh").observations([0]), "value_net", 1)
