"""Activations equal hooks by hand, and leave the agent as it was."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent, ExplainError
from sb3_explain.agents.activations import list_innermost
from sb3_explain.agents.sampled_observations import sample_observations
from tests.agents.loading.models import CASES, make_model

#: an agent, a layer of its scores and one of its values
AGENTS = {
    "ppo-cnn": ("features_extractor.cnn.2", "value_net"),
    "ppo-cnn-unshared": ("features_extractor.cnn.0", "vf_features_extractor.cnn.0"),
    "dqn-dict": ("q_net.features_extractor.extractors.image.cnn.0", "q_net.q_net.0"),
    "sac": ("actor.latent_pi.0", "critic.qf0.0"),
    "ars-mlp": ("action_net.0", "action_net.2"),
}


def make_agent(name, **options):
    """The agent of a case, and three of its observations."""
    agent = Agent.from_model(make_model(CASES[name]), **options)
    sampled = sample_observations(agent.observation_space, 3, np.random.default_rng(1))
    return agent, agent.tensor(sampled)


def hook(agent, name, observations, lstm_states=None):
    """What a module returns in a pass of scores and values, by a hook of our own."""
    outputs = []
    module = agent.view.policy.get_submodule(name)
    handle = module.register_forward_hook(lambda *call: outputs.append(call[2]))
    with torch.no_grad():
        agent.scores_and_values(observations, lstm_states)
    handle.remove()
    return outputs[0]


@pytest.mark.parametrize("name", AGENTS)
def test_they_equal_hooks_by_hand(name):
    agent, observations = make_agent(name)
    chosen = AGENTS[name]
    found = agent.activations(observations, chosen)
    for layer in chosen:
        assert layer in agent.layers
        assert torch.equal(found[layer], hook(agent, layer, observations))
        assert torch.equal(found[layer], agent.activations(observations, layer))
    assert not any(module._forward_hooks for module in agent.view.policy.modules())


def test_of_an_lstm_they_are_its_outputs_in_the_given_state():
    agent, observations = make_agent("ppo_lstm")
    states = torch.randn(agent.initial_lstm_states(3).shape)
    output, _ = hook(agent, "lstm_actor", observations, states)
    with torch.no_grad():
        found = agent.activations(observations, "lstm_actor", states)
        assert torch.equal(found, output[0]) and found.dim() == 2
        assert not torch.equal(found, agent.activations(observations, "lstm_actor"))


class Inplace(nn.Module):
    """A layer whose output is changed in place, one that is called twice, and one that is not."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Linear(4, 4)
        self.frames = nn.Linear(1, 2)
        self.unused = nn.Linear(3, 2)
        self.last = nn.Linear(4, 2)

    def forward(self, observations):
        self.frames(observations.reshape(-1, 1))
        return self.last(self.twice(self.twice(self.relu(self.first(observations)))))


@pytest.fixture(scope="module")
def inplace():
    torch.manual_seed(0)
    return Agent.from_module(Inplace(), spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2))


def test_they_are_what_the_layer_returned_before_it_was_changed_in_place(inplace):
    observations = torch.randn(5, 3)
    net = inplace.view.policy
    before, scores = net.first(observations), inplace.scores(observations)
    found = inplace.activations(observations, ["first", "twice"])
    assert (before < 0).any() and torch.equal(found["first"], before)
    assert torch.equal(found["twice"], net.twice(before.relu()))  # of the first call
    assert torch.equal(inplace.scores(observations), scores)


def test_they_have_gradients_to_the_observations(inplace):
    observations = torch.randn(2, 3, requires_grad=True)
    found = inplace.activations(observations, "twice")
    (slope,) = torch.autograd.grad(found[:, 0].sum(), observations)
    net = inplace.view.policy
    active = (net.first(observations.detach()) > 0).float()
    expected = (net.twice.weight[0] * active) @ net.first.weight
    torch.testing.assert_close(slope, expected)


def test_layers_are_those_that_are_passed_with_a_place_for_each_state(inplace):
    assert inplace.layers == ("first", "relu", "twice", "last")
    agent, _ = make_agent("ppo-cnn")
    inner = list_innermost(agent.layers)
    assert "features_extractor.cnn" in agent.layers and "features_extractor.cnn" not in inner
    assert "features_extractor.cnn.0" in inner


def test_an_unknown_layer_names_the_nearest(inplace):
    with pytest.raises(ExplainError, match="unknown layer 'frist'; did you mean 'first'"):
        inplace.activations(torch.zeros(1, 3), "frist")
    with pytest.raises(ExplainError, match="unknown layer 'unused'"):
        inplace.activations(torch.zeros(1, 3), ["first", "unused"])
    assert not any(module._forward_hooks for module in inplace.view.policy.modules())
