"""RISE against a loop over the same masks, and its masks against another library's enlargement."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.special import expit, softmax
from scipy.stats import norm
from skimage.transform import resize
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import find_target
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.rise import Rise
from sb3_explain.states.batch import StateBatch
from tests.explainers.looking import images, smooth_agent

SHAPE = (2, 23, 31)


def all_masks(explainer, shape):
    return torch.cat(list(explainer.make_masks(torch.zeros(1, *shape), 64)))[:, 0].double().numpy()


def slow(agent, image, masks, p_of, keep=0.5, hidden=0.0):
    """sum_i p(a | s * m_i) m_i / (N p1), a copy at a time."""
    total, s = 0.0, image.double().numpy()
    for m in masks:
        z = agent.scores(torch.from_numpy(s * m + hidden * (1 - m))[None])[0].detach().numpy()
        total = total + p_of(z) * m
    return np.broadcast_to(total / (len(masks) * keep), s.shape)


def test_it_is_the_formula():
    agent, seen = smooth_agent(SHAPE), images(2, SHAPE)
    explainer = Rise(agent, n_masks=150, keep=0.3)
    masks = all_masks(explainer, SHAPE)
    every = explainer.attribute_all(seen)
    for target in range(4):
        expected = np.stack(
            [slow(agent, s, masks, lambda z, t=target: softmax(z)[t], keep=0.3) for s in seen]
        )
        np.testing.assert_allclose(explainer.attribute(seen, target), expected, atol=1e-5)
        np.testing.assert_allclose(every[:, target], expected, atol=1e-5)


def test_the_torchray_variant_and_another_baseline():
    agent, seen = smooth_agent(SHAPE), images(1, SHAPE)
    explainer = Rise(agent, n_masks=40, variant="torchray", baseline=lambda s: s * 0 + 100)
    masks = all_masks(explainer, SHAPE)
    expected = slow(agent, seen[0], masks, lambda z: expit(z[1]), keep=1.0, hidden=100.0)
    np.testing.assert_allclose(explainer.attribute(seen, 1)[0], expected, atol=1e-5)


def test_sub_actions_have_probabilities_of_their_own():
    agent, seen = smooth_agent(SHAPE, spaces.MultiDiscrete([3, 2])), images(1, SHAPE)
    explainer = Rise(agent, n_masks=40)
    masks = all_masks(explainer, SHAPE)
    expected = slow(agent, seen[0], masks, lambda z: softmax(z[3:])[1])
    np.testing.assert_allclose(explainer.attribute(seen, 4)[0], expected, atol=1e-5)


def test_of_box_actions_it_is_how_little_they_move():
    """A deterministic agent: exp(-KL) of normals with a tenth of the range as deviation."""
    agent, seen = smooth_agent(SHAPE, spaces.Box(-30, 30, (2,))), images(1, SHAPE)
    explainer = Rise(agent, n_masks=40)
    own = agent.scores(seen)[0, 1].item()
    masks = all_masks(explainer, SHAPE)

    def p(z):
        # exp(-KL) of equal deviations is a ratio of densities
        return norm.pdf(z[1], own, 6.0) / norm.pdf(own, own, 6.0)

    expected = slow(agent, seen[0], masks, p)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(explainer.attribute(seen, 1)[0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(84, 84), (23, 31), (7, 50), (64, 5)])
def test_masks_are_shifted_pieces_of_enlarged_cells(size):
    explainer = Rise(smooth_agent(SHAPE), n_masks=30, seed=5)
    masks = all_masks(explainer, (1, *size))
    pixels, shifts = (part.numpy() for part in explainer.draw_grids(*size))
    sides = [-(-side // 7) for side in size]
    assert len(masks) == 30 and set(np.unique(pixels)) == {False, True}
    assert (shifts >= 0).all() and (shifts < sides).all()
    for mask, stored, (y, x) in zip(masks, pixels, shifts, strict=True):
        enlarged = resize(
            stored.astype(float), [8 * side for side in sides], order=1, mode="edge",
            anti_aliasing=False,
        )  # fmt: skip
        np.testing.assert_allclose(mask, enlarged[y : y + size[0], x : x + size[1]], atol=1e-6)


def test_masks_keep_their_share_and_are_those_of_the_seed():
    agent = smooth_agent(SHAPE)
    masks = all_masks(Rise(agent, keep=0.3), (1, 84, 84))
    assert len(masks) == 4000
    # of 49 cells a mask; every pixel alike
    assert abs(masks.mean() - 0.3) < 5 * (0.21 / (4000 * 49)) ** 0.5
    assert np.abs(masks.mean(axis=0) - 0.3).max() < 5 * (0.21 / 4000) ** 0.5
    first, same, other = (
        all_masks(Rise(agent, n_masks=20, seed=seed), (1, 84, 84)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_what_matters_stands_out_from_what_does_not():
    class Dot(nn.Module):
        def forward(self, pictures):
            bright = pictures[:, 0, 40:44, 20:24].mean(dim=(1, 2)) / 255
            return 20 * torch.stack([bright - 0.5, 0.5 - bright], dim=1)

    space = spaces.Box(0, 255, (1, 84, 84), np.uint8)
    agent = Agent.from_module(Dot(), space, spaces.Discrete(2))
    seen = torch.full((1, 1, 84, 84), 255.0)
    attributions = Rise(agent, n_masks=2000).attribute(seen, 0)[0, 0]
    middle = attributions[41:43, 21:23].mean()
    # 2 E[m p] for a p that follows m, against the mean of p over all masks
    far = torch.cat(
        [attributions[:20].flatten(), attributions[60:].flatten(), attributions[:, 50:].flatten()]
    )
    assert middle > 0.7 and (far - 0.5).abs().max() < 0.1
    y, x = divmod(int(attributions.argmax()), 84)
    assert 38 <= y <= 45 and 18 <= x <= 25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "torchrai"}, "did you mean 'torchray'"),
        ({"keep": 1.0}, "a probability between 0 and 1"),
        ({"baseline": "blakc"}, "did you mean 'black'"),
        ({"baseline": "background"}, "give states="),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ExplainError, match=message):
        Rise(smooth_agent(SHAPE), **settings)


@pytest.mark.parametrize("target", ["0 - 1", "2 - 0", "entropy"])
def test_a_quantity_is_centered_over_the_masks(target):
    """Hiding alone moves a quantity, too: less that mean, the sign is the pixel's own."""
    agent, seen = smooth_agent(SHAPE), images(2, SHAPE)
    explainer = Rise(agent, n_masks=60, keep=0.4)
    masks = all_masks(explainer, SHAPE)
    read = find_target(agent, target)
    for image, found in zip(seen, explainer.attribute(seen, target), strict=True):
        copies = [torch.from_numpy(image.double().numpy() * m)[None].float() for m in masks]
        f = np.array([StateBatch(agent, copy, read).own_target_scores.item() for copy in copies])
        expected = ((f - f.mean())[:, None, None] * masks).sum(axis=0) / (len(masks) * 0.4)
        np.testing.assert_allclose(found[0], expected, atol=1e-5)
        assert (found > 0).any() and (found < 0).any()
