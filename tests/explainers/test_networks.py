"""Networks as people write them: whoever says that it supports one explains it."""

import functools

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.parameter_randomization import randomize_layers
from sb3_explain.explainers import EXPLAINERS
from tests.explainers.kinds import quick, random_states
from tests.explainers.networks import NETWORKS, make_network_agent


@functools.cache
def agent_of(network):
    return make_network_agent(network)


@functools.cache
def states_of(network):
    return random_states(agent_of(network), 24)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_finite_attributions(name, network):
    agent, states = agent_of(network), states_of(network)
    if EXPLAINERS[name].unsupported(agent) is not None:
        with pytest.raises(ExplainError, match="does not support this agent"):
            EXPLAINERS[name](agent)
        return
    observations = states.observations(range(3))
    before = agent.fingerprint(), agent.scores(observations)
    found = quick(name, agent, states).attribute(observations)
    assert found.shape == observations.shape and found.isfinite().all()
    # an in-place operation or a hook that stays would change the agent
    assert agent.fingerprint() == before[0] and torch.equal(agent.scores(observations), before[1])
    if EXPLAINERS[name].ranks_features:
        assert found.abs().max() > 0


@pytest.mark.parametrize("network", ["InPlace", "Functions"])
@pytest.mark.parametrize(
    "name", ["gradient", "guided_backprop", "grad_cam", "integrated_gradients"]
)
def test_it_does_not_matter_how_a_relu_is_written(name, network):
    """The same weights, with ReLUs as modules, in place, and as functions."""
    plain, other = agent_of("Convolutions"), agent_of(network)
    plain.view.policy.load_state_dict(other.view.policy.state_dict())
    observations = states_of("Convolutions").observations(range(3))
    if network == "InPlace":
        torch.testing.assert_close(plain.scores(observations), other.scores(observations))
        expected = quick(name, plain, states_of("Convolutions")).attribute(observations, 0)
    else:  # a ReLU more, at the end
        modules = make_network_agent("Functions")
        extractor = modules.view.policy.features_extractor
        assert extractor.relu is not None
        extractor.forward = lambda images: extractor.relu(
            type(extractor).__base__.forward(extractor, images)
        )
        modules.view.policy.load_state_dict(other.view.policy.state_dict())
        expected = quick(name, modules, states_of(network)).attribute(observations, 0)
    found = quick(name, other, states_of(network)).attribute(observations, 0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_is_forgotten(network):
    """Each step changes the scores, and the layer's own weights."""
    agent = agent_of(network)
    observations = states_of(network).observations(range(8))
    last, layers = agent.scores(observations), []
    for layer, randomized in randomize_layers(agent):
        scores = randomized.scores(observations)
        assert scores.isfinite().all()
        assert not torch.allclose(scores, last), layer
        last, layers = scores, [*layers, layer]
    assert "pi_features_extractor.first" in layers or "features_extractor.first" in layers
    if network in ("Attention", "Encoder"):
        assert any("attention" in layer for layer in layers)


@pytest.mark.parametrize(
    "network", ["WeightNorm", "ParametrizedWeightNorm", "SpectralNorm", "ParametrizedSpectralNorm"]
)
def test_a_forgotten_layer_keeps_its_norm(network):
    agent = agent_of(network)
    layer, randomized = list(randomize_layers(agent))[-1]
    module = randomized.view.policy.get_submodule(layer)
    before = agent.view.policy.get_submodule(layer).weight.detach().clone().flatten(1)
    randomized.scores(states_of(network).observations(range(2)))
    weight = module.weight.detach().flatten(1)
    assert np.corrcoef(weight.flatten(), before.flatten())[0, 1] < 0.3
    if "Spectral" in network:
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.1)
    else:  # drawn as torch draws those of a new layer: uniform, up to 1 / sqrt(inputs)
        bound = 1 / np.sqrt(weight.shape[1])
        assert 0.9 * bound < float(weight.abs().max()) <= bound * (1 + 1e-5)
