"""LIME against a weighted ridge solved in another way, on the same samples."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.spatial.distance import cosine
from scipy.special import softmax
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.lime import SEGMENTERS, Lime
from sb3_explain.states.dataset import StateDataset
from tests.explainers.looking import images, smooth_agent

SHAPE = (2, 23, 31)


def augmented_ridge(samples, outcomes, weights, alpha):
    """Weights of a ridge with a free intercept, as one ordinary least-squares problem."""
    n_parts = samples.shape[1]
    root = np.sqrt(weights)[:, None]
    fit = np.hstack([root * samples, root])
    penalty = np.hstack([np.sqrt(alpha) * np.eye(n_parts), np.zeros((n_parts, 1))])
    right = np.r_[root[:, 0] * outcomes, np.zeros(n_parts)]
    return np.linalg.lstsq(np.vstack([fit, penalty]), right, rcond=None)[0][:-1]


def distances(samples):
    return np.array([1.0 if not z.any() else cosine(z, np.ones(len(z))) for z in samples])


def copies_and_outcomes(agent, explainer, state, parts, hidden, outcome):
    """One copy at a time: samples (n, M), kernel weights (n,), and what the agent says (n,)."""
    samples = explainer.draw_samples(int(parts.max()) + 1).double().numpy()
    outcomes = []
    for z in samples:
        present = torch.from_numpy(z[parts.numpy()])
        copy = torch.where(present == 1, state, hidden)
        outcomes.append(outcome(agent.scores(copy[None])[0].detach().double().numpy()))
    weights = np.exp(-(distances(samples) ** 2) / (2 * explainer.width**2))
    return samples, weights, np.array(outcomes)


def slow(agent, explainer, state, parts, hidden, outcome):
    samples, weights, outcomes = copies_and_outcomes(
        agent, explainer, state, parts, hidden, outcome
    )
    found = augmented_ridge(samples, outcomes, weights, explainer.alpha)
    return np.broadcast_to(found[parts.numpy()], state.shape)


@pytest.mark.parametrize("segments", SEGMENTERS)
def test_images_by_superpixels(segments):
    agent, seen = smooth_agent(SHAPE), images(2, SHAPE)
    explainer = Lime(agent, n_samples=120, segments=segments, width=0.4, alpha=0.5)
    every = explainer.attribute_all(seen)
    for state, attributions in zip(seen, every, strict=True):
        parts = explainer.find_superpixels("", state)
        for target in (0, 3):
            expected = slow(
                agent, explainer, state, parts, torch.zeros(()), lambda z, t=target: softmax(z)[t]
            )
            assert np.abs(expected).max() > 1e-3
            np.testing.assert_allclose(attributions[target], expected, atol=1e-5)
    torch.testing.assert_close(explainer.attribute(seen, 3), every[:, 3])


def vector_agent(actions=None):
    generator = torch.Generator().manual_seed(1)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return Agent.from_module(net, spaces.Box(-2, 2, (6,)), actions or spaces.Discrete(3))


def states_of(frames):
    return StateDataset.from_arrays(frames, np.zeros(len(frames)), np.zeros(len(frames), int))


def test_vectors_by_features_and_a_fitted_baseline():
    agent = vector_agent()
    frames = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    explainer = Lime(agent, n_samples=80, baseline="mean", states=states_of(frames))
    hidden = frames.mean(dim=0)
    attributions = explainer.attribute(frames[:3], 1)
    for state, found in zip(frames, attributions, strict=False):
        expected = slow(agent, explainer, state, torch.arange(6), hidden, lambda z: softmax(z)[1])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_of_box_actions_the_action_itself_is_explained():
    agent, state = vector_agent(spaces.Box(-1, 1, (3,))), torch.linspace(-1, 1, 6)
    explainer = Lime(agent, n_samples=80)
    expected = slow(agent, explainer, state, torch.arange(6), torch.zeros(()), lambda z: z[2])
    np.testing.assert_allclose(explainer.attribute(state[None], 2)[0], expected, atol=1e-5)


@pytest.mark.parametrize("n_samples", [100, 4])  # more than there are features, and fewer
def test_scikit_learns_ridge(n_samples):
    linear_model = pytest.importorskip("sklearn.linear_model")
    agent, state = vector_agent(), torch.linspace(-1, 1, 6)
    explainer = Lime(agent, n_samples=n_samples)
    samples, weights, outcomes = copies_and_outcomes(
        agent, explainer, state, torch.arange(6), torch.zeros(()), lambda z: softmax(z)[0]
    )
    ridge = linear_model.Ridge(alpha=1.0).fit(samples, outcomes, sample_weight=weights)
    np.testing.assert_allclose(explainer.attribute(state[None], 0)[0], ridge.coef_, atol=1e-5)


def test_a_linear_agent_is_found_out():
    """With hardly any penalty, the weights of a linear action times the state."""
    net = nn.Linear(6, 2)
    agent = Agent.from_module(net, spaces.Box(-2, 2, (6,)), spaces.Box(-1, 1, (2,)))
    state = torch.tensor([[1.0, -1.0, 2.0, 0.5, 0.0, -2.0]])
    attributions = Lime(agent, alpha=1e-9).attribute_all(state)
    torch.testing.assert_close(attributions[0], net.weight.detach() * state, atol=1e-6, rtol=1e-5)


def test_the_default_baseline_is_the_background_of_states_or_black():
    agent = vector_agent()
    frames = torch.arange(18.0).reshape(3, 6)
    assert not Lime(agent).baselines[""](frames).any()
    fitted = Lime(agent, states=states_of(frames)).baselines[""]
    assert torch.equal(fitted(frames), frames.median(dim=0).values.expand(3, 6))


def test_the_first_copy_is_the_state_and_the_others_have_half_the_parts():
    explainer = Lime(vector_agent(), n_samples=4000)
    samples = explainer.draw_samples(50)
    assert samples[0].all() and abs(samples[1:].double().mean() - 0.5) < 0.01
    weights = explainer.weigh_samples(samples).numpy()
    assert weights[0] == 1
    expected = np.exp(-0.5 * (distances(samples[:50].numpy()) / 0.25) ** 2)
    np.testing.assert_allclose(weights[:50], expected, atol=1e-12)
    nothing = torch.zeros(1, 50, dtype=torch.long)
    assert explainer.weigh_samples(nothing).item() == pytest.approx(np.exp(-8))
    assert torch.equal(samples, Lime(vector_agent(), n_samples=4000).draw_samples(50))
    assert not torch.equal(samples, Lime(vector_agent(), n_samples=4000, seed=1).draw_samples(50))


def test_superpixels_are_those_of_the_newest_frames_grey_image():
    agent = smooth_agent((6, 20, 20), n_stack=2)
    seen = torch.zeros(6, 20, 20)
    seen[:3, :, 5:] = 255  # the older frame, in colours
    seen[3, 10:] = seen[4, 10:] = 255  # the newer one: yellow below black
    labels = Lime(agent).find_superpixels("", seen)
    assert labels.shape == (1, 20, 20)
    assert torch.equal(labels[0], labels[0, :, :1].expand(20, 20))
    assert labels[0, :8].unique().numel() == 1 and labels[0, 0, 0] != labels[0, 19, 0]


def test_segments_may_be_a_function():
    agent, seen = smooth_agent(SHAPE), images(1, SHAPE)
    pictures = []

    def halves(picture):
        pictures.append(picture)
        return np.where(np.arange(picture.shape[1]) < 15, 7, -3) + 0 * picture.astype(int)

    attributions = Lime(agent, n_samples=30, segments=halves).attribute(seen, 0)[0]
    assert len(attributions.unique()) == 2 and attributions[:, :, :15].unique().numel() == 1
    gray = seen[0].mean(dim=0) / 255
    np.testing.assert_allclose(pictures[0], gray, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segments": "slik"}, "did you mean 'slic'"),
        ({"n_samples": 1}, "at least two samples"),
        ({"alpha": 0.0}, "positive numbers"),
        ({"baseline": "mean"}, "give states="),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ExplainError, match=message):
        Lime(vector_agent(), **settings)
