"""Greydanus against a loop written from its formulas, and agents whose answer is known."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.greydanus import Greydanus
from sb3_explain.explainers.perturbation.local_blur import LocalBlur
from sb3_explain.states.batch import StateBatch
from tests.explainers.looking import images, region_agent, smooth_agent
from tests.explainers.perturbation import local_blur_loop


def slow(agent, image, read, **settings):
    z, found = local_blur_loop.outputs(read, image, **settings)
    scores = {point: 0.5 * np.sum((z - moved) ** 2) for point, moved in found.items()}
    return np.broadcast_to(local_blur_loop.upsample(scores, image.shape[1:]), image.shape)


@pytest.mark.parametrize(
    ("shape", "settings", "dtype"),
    [
        ((2, 23, 31), {}, torch.float32),
        ((3, 40, 26), {"sigma": 2.0, "radius": 3.0, "stride": 7}, torch.float32),
        ((1, 25, 31), {"stride": 1, "radius": 1.5, "sigma": 1.0}, torch.float64),
    ],
)
def test_actor_and_critic_are_the_formulas(shape, settings, dtype):
    agent, seen = smooth_agent(shape), images(2, shape).to(dtype)
    reads = {
        "actor": lambda s: agent.scores(s).detach().numpy().astype(np.float64),
        "critic": lambda s: agent.values(s).detach().numpy().astype(np.float64),
    }
    for part, read in reads.items():
        attributions = Greydanus(agent, part=part, **settings).attribute(seen).numpy()
        expected = np.stack([slow(agent, image, read, **settings) for image in seen])
        assert expected.max() > 1e-3
        np.testing.assert_allclose(attributions, expected, atol=1e-5 * expected.max())


def test_of_bits_the_scores_are_their_logits():
    agent = smooth_agent(actions=spaces.MultiBinary(3))
    seen = images(1, (2, 23, 31))
    expected = slow(agent, seen[0], lambda s: agent.scores(s).detach().numpy().astype(np.float64))
    found = Greydanus(agent).attribute(seen)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


class Pixel(nn.Module):
    """Looks at one pixel."""

    def __init__(self, y, x):
        super().__init__()
        self.y, self.x = y, x

    def forward(self, pictures):
        return pictures[:, 0, self.y, self.x, None] * torch.tensor([1.0, -1.0]) / 255


@pytest.mark.parametrize("pixel", [(0, 0), (40, 25), (80, 80), (5, 80)])
def test_the_map_peaks_at_the_very_pixel(pixel):
    space = spaces.Box(0, 255, (1, 84, 84), np.uint8)
    agent = Agent.from_module(Pixel(*pixel), space, spaces.Discrete(2))
    # noise, so that a blur changes every pixel
    seen = images(1, (1, 84, 84), block=1)
    attributions = Greydanus(agent).attribute(seen)[0, 0]
    assert divmod(int(attributions.argmax()), 84)[0] == pixel[0]
    assert divmod(int(attributions.argmax()), 84)[1] == pixel[1]
    # the gaussian, squared, five pixels off
    y = pixel[0] + (5 if pixel[0] < 80 else -5)
    assert attributions[y, pixel[1]] / attributions.max() == pytest.approx(np.exp(-1), rel=1e-4)


def test_an_agent_without_values_has_no_critic():
    agent = region_agent()
    critic = Greydanus(agent, part="critic")
    with pytest.raises(ExplainError, match="no values for greydanus to explain: use part='actor'"):
        critic.attribute(images(1, (2, 84, 84)))


def test_values_are_read_only_when_asked_for():
    agent, seen = smooth_agent(), images(1, (2, 23, 31))
    batch = StateBatch(agent, seen, target=0)
    actor, critic = Greydanus(agent), Greydanus(agent, part="critic")
    actor.attribute_batch(batch)
    assert agent.forwards == actor.forwards_per_state
    critic.attribute_batch(batch)
    assert agent.forwards == actor.forwards_per_state + critic.forwards_per_state


def test_289_places_on_84_by_84():
    assert Greydanus(region_agent()).forwards_per_state == 290
    assert LocalBlur().points(84).tolist() == list(range(0, 81, 5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part": "both"}, "unknown part 'both'"),
        ({"stride": 0}, "give positive"),
        ({"sigma": -1.0}, "give positive"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ExplainError, match=message):
        Greydanus(region_agent(), **settings)
