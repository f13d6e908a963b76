"""SSINet: a mask from the agent's features, that preserves what the agent does."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_explain.agents.activations import watch_modules
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.learned.networks.ssinet_decoder import SSINetDecoder, make_coordinates
from sb3_explain.explainers.learned.ssinet import SSINet, find_feature_shapes, is_convolution
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import apply_baselines
from sb3_explain.states.cache import ForwardCache
from tests.explainers.kinds import agent_of, states_of
from tests.explainers.known import corner_agent, corner_states, known_agent
from tests.toys import dot_agent

QUIET = {"precision": "no", "progress": False}


class Nature(nn.Module):
    """SB3's CNN and six logits."""

    def __init__(self, shape):
        super().__init__()
        self.features = NatureCNN(spaces.Box(0, 255, shape, np.uint8), features_dim=16)
        self.head = nn.Linear(16, 6)

    def forward(self, observations):
        return self.head(self.features(observations.float() / 255))


def nature_agent(shape=(4, 84, 84)):
    return Agent.from_module(
        Nature(shape), spaces.Box(0, 255, shape, np.uint8), spaces.Discrete(6), n_stack=shape[0]
    )


def test_features_are_the_outputs_of_the_convolutions():
    agent = nature_agent()
    assert find_feature_shapes(agent) == [(32, 20, 20), (64, 9, 9), (64, 7, 7)]
    images = torch.randint(0, 256, (3, 4, 84, 84)).float()
    with torch.no_grad(), watch_modules(agent.view.policy, is_convolution) as passed:
        agent.scores(images)
    features = [output for _, output in passed]
    layers = agent.view.policy.features.cnn
    with torch.no_grad():
        expected = layers[0](images / 255)
        torch.testing.assert_close(features[0], expected)
        torch.testing.assert_close(features[1], layers[2](expected.relu()))
    assert not any(module._forward_hooks for module in agent.view.policy.modules())


def test_hooks_go_after_an_error_too():
    agent = nature_agent()
    with pytest.raises(ExplainError), watch_modules(agent.view.policy, is_convolution):
        agent.scores(torch.zeros(1, 4, 80, 84))
    assert not any(module._forward_hooks for module in agent.view.policy.modules())


@pytest.mark.parametrize(
    ("features", "size"),
    [
        ([(32, 20, 20), (64, 9, 9), (64, 7, 7)], (84, 84)),
        ([(8, 20, 15), (16, 9, 6), (16, 7, 4)], (84, 65)),
        ([(8, 11, 9), (8, 11, 9), (4, 5, 4)], (23, 19)),
        ([(6, 17, 16)], (17, 16)),
        ([(6, 1, 1)], (36, 36)),
    ],
)
def test_the_decoder_fits_features_and_images_of_any_size(features, size):
    torch.manual_seed(0)
    decoder = SSINetDecoder(features, {"a.b": (4, *size)}, n_frames=4)
    logits = decoder([torch.randn(2, *shape) for shape in features])["a.b"]
    assert logits.shape == (2, 1, 4, *size)
    logits.sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())
    outputs = [torch.randn(2, *shape) for shape in features]
    scaled = [100 * output for output in outputs]
    torch.testing.assert_close(decoder(scaled)["a.b"], decoder(outputs)["a.b"], rtol=0, atol=1e-3)


def test_doubling_stops_short_of_the_image():
    """20 -> 40 -> 80, then 84: less than a doubling is left."""
    decoder = SSINetDecoder(find_feature_shapes(nature_agent()), {"": (4, 84, 84)}, 4).decoders[0]
    assert decoder.doublings == 2 and list(decoder.levels) == [(7, 7), (9, 9), (20, 20)]


def test_places_are_rows_and_columns():
    grid = make_coordinates(torch.zeros(2, 5, 3, 2))
    assert grid[1].tolist() == [[[-1, -1], [0, 0], [1, 1]], [[-1, 1], [-1, 1], [-1, 1]]]


def fitted(agent, states, **settings):
    explainer = SSINet(agent, **settings)
    half = len(states) // 2
    explainer.fit(
        states.subset(range(half)), states.subset(range(half, len(states))),
        epochs=1, batch_size=8, **QUIET,
    )  # fmt: skip
    return explainer


def test_the_loss_is_the_definition_state_by_state():
    agent = corner_agent()
    states = corner_states(agent, 40)
    explainer = fitted(agent, states, alpha=0.3, temperature=2.0, baseline="below")
    with torch.no_grad():
        ours = explainer.losses(explainer.network, states, np.arange(4))
    observations = states.observations(np.arange(4)).float()
    change = area = 0.0
    for state in observations:
        m = explainer.attribute(state[None])[0]
        seen = (state / 255 + 1) * m - 1  # 1 is added before, and taken off after the mask
        before = (agent.scores(state[None])[0] / 2).softmax(0)
        after = (agent.scores(255 * seen[None])[0] / 2).softmax(0)
        change += float(((before - after) ** 2).mean()) / 4
        area += float(m.abs().mean()) / 4
    assert float(ours["change"]) == pytest.approx(change, abs=1e-6)
    assert float(ours["area"]) == pytest.approx(area, abs=1e-6)
    assert float(ours["loss"]) == pytest.approx(change + 0.3 * area, abs=1e-6)


def test_box_actions_are_compared_in_units_of_their_range():
    agent = agent_of("sac-cnn-shared")  # squashed: its means are in [-1, 1]
    states = states_of("sac-cnn-shared")
    explainer = fitted(agent, states, alpha=0.0)
    ours = explainer.losses(explainer.network, states, np.arange(5))["loss"]
    batch = explainer.batch(states, np.arange(5))
    seen = explainer.blend(explainer.masks(explainer.network, batch), batch)[0][""][:, 0]
    difference = agent.scores(seen) - agent.scores(batch.observations)
    torch.testing.assert_close(ours, (difference / 2).square().mean())


def test_one_mask_and_one_pass_for_all_targets():
    agent = corner_agent()
    states = corner_states(agent, 40)
    explainer = fitted(agent, states)
    observations = states.observations(np.arange(5))
    attributions = explainer.attribute_all(observations)
    assert attributions.shape == (5, 3, 2, 24, 24)
    assert torch.equal(attributions[:, 0], attributions[:, 2])
    assert torch.equal(explainer.attribute(observations, 1), attributions[:, 0])
    batch = StateBatch(agent, observations, target=0, cache=ForwardCache())
    before = agent.forwards
    explainer.attribute_batch(batch)
    assert agent.forwards - before == 5 * explainer.forwards_per_state
    explainer.attribute_batch(batch.with_target(2))
    assert agent.forwards - before == 5  # shared with the target before


def test_training_passes_the_agent_twice_a_state():
    agent = corner_agent()
    states = corner_states(agent, 16)
    explainer = SSINet(agent, baseline="black")
    before = agent.forwards
    explainer.losses(explainer.network, states, np.arange(8))
    assert agent.forwards - before == 16


@pytest.mark.parametrize("kind", ["image and vector", "recurrent", "image, vector, category"])
def test_beside_images_nothing_is_hidden(kind):
    agent, states = agent_of(kind), states_of(kind)
    explainer = fitted(agent, states)
    batch = explainer.batch(states, np.arange(4))
    attributions = explainer.attribute_batch(batch)
    assert attributions["image"].min() > 0
    assert not any(attributions[name].any() for name in attributions if name != "image")
    shown = batch.split_keys(explainer.to_masks(batch.flatten_keys(attributions)))
    assert all((shown[name] == 1).all() for name in attributions if name != "image")
    assert torch.equal(shown["image"], attributions["image"])
    replaced = batch.split_keys(apply_baselines(explainer.baselines, batch))
    assert not torch.equal(replaced["image"], batch.by_key["image"])
    held = [name for name in attributions if name != "image"]
    assert held and all(torch.equal(replaced[name], batch.by_key[name]) for name in held)


def test_agents_without_convolutions_are_refused():
    with pytest.raises(ExplainError, match="this agent observes none"):
        SSINet(known_agent("discrete"))
    with pytest.raises(ExplainError, match="this agent has none"):
        SSINet(dot_agent())  # it sees images, but without a convolution
