"""A policy without a gradient has no explanation of zeros: methods of gradients refuse it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.make import list_explainers, make_explainer

NUMBERS = spaces.Box(-1, 1, (4,), np.float32)
PICTURE = spaces.Box(0, 255, (3, 16, 16), np.uint8)


class Frozen(nn.Module):
    """Two keys, one of which passes a network that keeps no gradient."""

    def __init__(self, cut):
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 2)
        self.cut = cut

    def forward(self, observations):
        return self.a(observations["a"]) + self.cut(self.b, observations["b"])


def no_grad(layer, observed):
    with torch.no_grad():
        return layer(observed)


CUTS = {
    "no_grad": no_grad,
    "detach": lambda layer, observed: layer(observed.detach()),
    "numpy": lambda layer, observed: torch.as_tensor(layer(observed).detach().numpy()),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_key_that_is_cut_is_found(cut):
    space = spaces.Dict(a=NUMBERS, b=NUMBERS, c=spaces.Discrete(3))
    agent = Agent.from_module(Frozen(cut), space, spaces.Discrete(2))
    assert agent.cut_keys == ("b",)
    for name in ("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad"):
        with pytest.raises(ExplainError, match="computes without one from the observation's 'b'"):
            make_explainer(name, agent)
    assert not {"gradient", "stalder", "visionmask"} & set(list_explainers(agent))
    assert "feature_ablation" in list_explainers(agent)


def test_a_key_that_is_ignored_is_not_cut():
    space = spaces.Dict(a=NUMBERS, b=NUMBERS)
    ignoring = Frozen(lambda layer, observed: torch.zeros(len(observed), 2))
    agent = Agent.from_module(ignoring, space, spaces.Discrete(2))
    assert agent.cut_keys == ()
    found = make_explainer("gradient", agent).attribute(
        {"a": torch.ones(1, 4), "b": torch.ones(1, 4)}
    )
    assert not found["b"].any()
    assert found["a"].any()


def test_a_mask_that_is_compared_is_not_cut_but_bits_alone_are():
    def mask(layer, observed):
        return torch.where(observed[:, :2] == 0, -1e8, 0.0)

    space = spaces.Dict(a=NUMBERS, b=spaces.MultiBinary(4))
    assert Agent.from_module(Frozen(mask), space, spaces.Discrete(2)).cut_keys == ()

    class Bits(nn.Linear):
        def forward(self, observations):
            return super().forward(observations).detach()

    agent = Agent.from_module(Bits(4, 2), spaces.MultiBinary(4), spaces.Discrete(2))
    assert agent.cut_keys == ("",)


def test_a_frozen_convolution_has_no_map():
    class FrozenConvolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.head = nn.Conv2d(3, 2, 4, 4), nn.Linear(32, 2)

        def forward(self, observations):
            seen = self.convolution(observations.float() / 255).relu()
            return self.head(seen.flatten(1).detach())

    agent = Agent.from_module(FrozenConvolution(), PICTURE, spaces.Discrete(2))
    with pytest.raises(ExplainError, match="computes without one from the observation "):
        make_explainer("grad_cam", agent)
    assert "occlusion" in list_explainers(agent)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_what_is_found_of_a_policy_does_not_depend_on_what_its_caller_switched_off(switch):
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2)
    pixels = nn.Sequential(*layers)
    float_picture = spaces.Box(-1, 1, PICTURE.shape, np.float32)
    agents = [Agent.from_module(pixels, float_picture, spaces.Discrete(2)) for _ in range(2)]
    with switch():
        asked = agents[0].layout.pictures, agents[0].cut_keys, agents[0].categories.looked_up
        supported = list_explainers(agents[0])
    assert asked[:2] == (agents[1].layout.pictures, agents[1].cut_keys)
    assert list(asked[0]) == [""] and asked[1] == () and not asked[2][""].any()
    assert supported == list_explainers(agents[1]) and "guided_backprop" in supported
