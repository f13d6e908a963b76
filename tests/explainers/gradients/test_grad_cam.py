"""Grad-CAM and guided Grad-CAM against the equations, written out."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.gradients.grad_cam import GradCAM
from sb3_explain.explainers.gradients.guided_grad_cam import GuidedGradCAM
from tests.agents.loading.models import CASES, make_model

IMAGE = spaces.Box(0, 255, (2, 13, 17), np.uint8)


class Net(nn.Module):
    """Two convolutions; the hidden layer's ReLU follows the second."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, stride=2), nn.Conv2d(4, 5, 3)
        self.relu, self.out = nn.ReLU(), nn.Linear(5 * 4 * 6, 3)

    def forward(self, images):
        seen = self.relu(self.second(self.relu(self.first(images / 255))))
        return self.out(seen.flatten(1))


class Two(nn.Module):
    """Two images, each with a network of its own, and a vector."""

    def __init__(self):
        super().__init__()
        self.near, self.far = Net(), Net()
        self.other = nn.Conv2d(2, 4, 3)  # never passed

    def forward(self, observations):
        return self.near(observations["near"]) * 2 + self.far(observations["far"]) * (
            1 + observations["vector"]
        )


def net_agent():
    torch.manual_seed(0)
    return Agent.from_module(Net(), IMAGE, spaces.Discrete(3))


def images(n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *IMAGE.shape), generator=generator).float()


def bilinear(coarse, height, width):
    """(h, w) at another size, point by point; cells' centres are matched, edges repeated."""
    rows, columns = coarse.shape
    fine = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = max((y + 0.5) * rows / height - 0.5, 0)
            u = max((x + 0.5) * columns / width - 0.5, 0)
            top, left = int(v), int(u)
            low, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            b, a = v - top, u - left
            upper = (1 - a) * coarse[top, left] + a * coarse[top, right]
            lower = (1 - a) * coarse[low, left] + a * coarse[low, right]
            fine[y, x] = (1 - b) * upper + b * lower
    return fine


def by_hand(net, image, action, scale=1.0):
    """Equations 1 and 2 of Selvaraju et al. (2017) for the second convolution."""
    activations = net.second(net.first(image[None] / 255).relu())[0]
    weights = net.out.weight[action].reshape(5, 4, 6) * scale
    slopes = weights * (activations > 0)  # through the ReLU that follows
    coarse = sum(slopes[k].mean() * activations[k] for k in range(5)).relu()
    return torch.tensor(bilinear(coarse.numpy(), *image.shape[1:])).float().expand(image.shape)


def guided_by_hand(net, image, action):
    first = net.first(image[None] / 255)
    second = net.second(first.relu())
    back = (net.out.weight[action].reshape(second.shape) * (second > 0)).relu()
    back = (F.conv_transpose2d(back, net.second.weight) * (first > 0)).relu()
    back = F.conv_transpose2d(back, net.first.weight, stride=2)
    return back[0] / 255


def test_grad_cam_by_hand():
    agent, seen, target = net_agent(), images(), torch.tensor([0, 1, 2, 0])
    found = GradCAM(agent).attribute(seen, target)
    with torch.no_grad():
        expected = [
            by_hand(agent.view.policy, image, action)
            for image, action in zip(seen, target, strict=True)
        ]
    torch.testing.assert_close(found, torch.stack(expected))
    assert found.min() >= 0 and found.amax(dim=(1, 2, 3)).gt(0).any()


def test_guided_grad_cam_by_hand():
    agent, seen = net_agent(), images()
    net, target = agent.view.policy, torch.tensor([1, 1, 0, 2])
    found = GuidedGradCAM(agent).attribute(seen, target)
    with torch.no_grad():
        expected = [
            by_hand(net, image, action) * guided_by_hand(net, image, action)
            for image, action in zip(seen, target, strict=True)
        ]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-9, rtol=1e-4)
    assert found.any()


def test_each_image_has_its_own_convolution():
    torch.manual_seed(1)
    observed = spaces.Dict(far=IMAGE, near=IMAGE, vector=spaces.Box(-1, 1, (3,)))
    agent = Agent.from_module(Two(), observed, spaces.Discrete(3))
    explainer = GradCAM(agent)
    assert explainer.layers == {"far": "far.second", "near": "near.second"}
    assert explainer.forwards_per_state == 2 and GuidedGradCAM(agent).forwards_per_state == 3
    states = {"far": images(seed=1), "near": images(seed=2), "vector": torch.rand(4, 3)}
    found = explainer.attribute(states, 1)
    net = agent.view.policy
    with torch.no_grad():
        for i in range(4):
            torch.testing.assert_close(found["near"][i], by_hand(net.near, states["near"][i], 1, 2))
            scale = 1 + states["vector"][i, 1]
            expected = by_hand(net.far, states["far"][i], 1, scale)
            torch.testing.assert_close(found["far"][i], expected)
    assert not found["vector"].any()
    guided = GuidedGradCAM(agent).attribute(states, 1)
    assert guided["near"].any() and guided["far"].any() and not guided["vector"].any()


@pytest.mark.parametrize(
    ("case", "layer"),
    [
        ("dqn-cnn", "q_net.features_extractor.cnn.4"),  # the target network has one as well
        ("ppo-cnn-unshared", "features_extractor.cnn.4"),  # the critic has one as well
        ("sac-cnn-shared", "actor.features_extractor.cnn.4"),
    ],
)
def test_the_layer_is_one_that_the_scores_pass(case, layer):
    agent = Agent.from_model(make_model(CASES[case]))
    assert GradCAM(agent).layers == {"": layer}


def test_a_layer_by_name():
    agent = Agent.from_model(make_model(CASES["ppo-cnn"]))
    explainer = GradCAM(agent, layer="features_extractor.cnn.1")
    seen = torch.randint(0, 256, (2, *agent.observation_space.shape)).float()
    found = explainer.attribute(seen)
    corner = found[:, 0, :3, :3]  # 36 cells are 8 of the layer: the edge is repeated
    assert torch.equal(corner[:, 0, 0], corner[:, 1, 1])
    with pytest.raises(ExplainError, match=r"did you mean 'features_extractor\.cnn\.0'"):
        GradCAM(agent, layer="features_extractor.cnn.00")


def test_agents_that_are_not_served():
    vectors = Agent.from_model(make_model(CASES["ppo-relu"]))
    for explainer in (GradCAM, GuidedGradCAM):
        with pytest.raises(ExplainError, match="it explains images by a convolution"):
            explainer(vectors)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(2 * 13 * 17, 3))
    with pytest.raises(ExplainError, match="this agent's scores pass none"):
        GradCAM(Agent.from_module(flat, IMAGE, spaces.Discrete(3)))
