"""Specificity: an agent that reads one known pixel, and attributions that know it or do not."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics.insertion import insertion
from sb3_explain.evaluation.metrics.policy_preservation import policy_preservation
from sb3_explain.evaluation.metrics.specificity import policy_specificity, specificity
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.states.dataset import StateDataset

SIDE, N, STEPS = 6, 24, 12


class Reader(nn.Module):
    """It reads one pixel: the one that is named by the brightest pixel of the first row."""

    def forward(self, observations):
        flat = observations.flatten(1) / 255
        column = flat[:, :SIDE].argmax(dim=1)
        read = flat.view(-1, SIDE, SIDE)[torch.arange(len(flat)), 3, column]
        return torch.stack([8 * (read - 0.5), -8 * (read - 0.5)], dim=1)


@pytest.fixture(scope="module")
def agent():
    return Agent.from_module(
        Reader(), spaces.Box(0, 255, (1, SIDE, SIDE), np.uint8), spaces.Discrete(2)
    )


@pytest.fixture(scope="module")
def states():
    """Each state names another column, in which the pixel is bright (action 0)."""
    frames = np.full((N, 1, SIDE, SIDE), 20, np.uint8)
    for i in range(N):
        frames[i, 0, 0, i % SIDE] = 200
        frames[i, 0, 3, i % SIDE] = 255
    return StateDataset.from_arrays(frames, np.arange(N) // 2, np.zeros(N, int))


class Known(Explainer):
    """The pixels that the agent reads: the brightest of the first row, and the one it names."""

    name = "known"

    def explain(self, batch):
        seen = batch.by_key[""]
        shown = torch.zeros_like(seen)
        column = seen[:, 0, 0].argmax(dim=1)
        rows = torch.arange(len(seen))
        shown[rows, 0, 0, column] = 2.0
        shown[rows, 0, 3, column] = 1.0
        return {"": shown}


class Same(Explainer):
    """The same for every state."""

    name = "same"

    def explain(self, batch):
        seen = batch.by_key[""]
        return {"": torch.linspace(0, 1, seen[0].numel()).view(seen[:1].shape).expand(seen.shape)}


def measure(agent, states, kind, metric, **options):
    batch = states.batch(agent, np.arange(N)).resolve_target()
    others = OtherStates(agent, states, np.arange(N), batch.target.numpy(), seed=0)
    explainer = kind(agent)
    attributions = batch.flatten_keys(explainer.attribute_batch(batch))
    baseline = torch.zeros_like(batch.observations)
    values = metric(
        batch, explainer, baseline, order(attributions), others, attributions,
        steps=STEPS, **options,
    )  # fmt: skip
    return values, others, attributions, batch


@pytest.mark.parametrize("metric", [specificity, policy_specificity])
def test_known_pixels_are_specific_and_the_same_for_all_is_not(agent, states, metric):
    known, others, *_ = measure(agent, states, Known, metric)
    another_column = others.partners % SIDE != np.arange(N) % SIDE
    assert (known[another_column] > 0.1).all() and another_column.sum() > N / 2
    assert (known[~another_column] == 0).all()
    assert (measure(agent, states, Same, metric)[0] == 0).all()


def test_slow_loop(agent, states):
    for metric, curve, sign in (
        (specificity, insertion, 1), (policy_specificity, policy_preservation, -1),
    ):  # fmt: skip
        values, others, attributions, batch = measure(agent, states, Known, metric)
        for i in range(N):
            one = states.batch(agent, [i], 0)
            black = torch.zeros(1, 1, SIDE, SIDE)
            own, swapped = (
                curve(one, black, order(attributions[[at]]), steps=STEPS)[0]
                for at in (i, others.partners[i])
            )
            areas = [(c.sum() - (c[0] + c[-1]) / 2) / STEPS for c in (own, swapped)]
            assert float(values[i]) == pytest.approx(float(sign * (areas[0] - areas[1])), abs=1e-6)
        assert batch.target.tolist() == [0] * N


@pytest.mark.parametrize(
    "options",
    [
        {"patch_size": 3},
        {"perturb_func": "inpaint"},
        {"perturb_func": "noisy_linear", "noise": 0.02},
        {"perturb_baseline": "donor"},
        {"segmentation_method": "felzenszwalb"},
        {"fraction": 0.5, "per_frame": False},
    ],
    ids=lambda options: ", ".join(map(str, options.values())),
)
def test_the_imputations_are_those_of_insertion(agent, states, options):
    """Insertion of the own map, and on the same states of the attributions of their partners."""
    for metric, curve, sign in (
        (specificity, insertion, 1), (policy_specificity, policy_preservation, -1),
    ):  # fmt: skip
        values, others, attributions, batch = measure(agent, states, Known, metric, **options)
        own, swapped = (
            torch.trapezoid(
                curve(
                    batch, torch.zeros_like(attributions), order(each), each, others,
                    steps=STEPS, **options,
                ),
                dx=1 / STEPS,
            )
            for each in (attributions, attributions[others.partners])
        )  # fmt: skip
        torch.testing.assert_close(values, sign * (own - swapped))
        assert (values != 0).any()
        assert (measure(agent, states, Same, metric, **options)[0] == 0).all()


def test_regions_of_what_is_no_image_are_one_line():
    agent = Agent.from_module(nn.Identity(), spaces.Box(-9, 9, (4,)), spaces.Discrete(4))
    vectors = StateDataset.from_arrays(np.eye(4, dtype=np.float32), np.arange(4), np.arange(4))
    batch = vectors.batch(agent, np.arange(4)).resolve_target()
    others = OtherStates(agent, vectors, np.arange(4), np.arange(4), seed=0)
    seen = batch.observations
    with pytest.raises(ExplainError, match="need a single image") as refusal:
        specificity(batch, Gradient(agent), torch.zeros(4, 4), order(seen), others, patch_size=3)
    assert "\n" not in str(refusal.value)


def test_partners_have_the_same_target_and_another_episode():
    agent = Agent.from_module(nn.Identity(), spaces.Box(-9, 9, (2,)), spaces.Discrete(2))
    vectors = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    states = StateDataset.from_arrays(vectors, np.arange(30) // 5, vectors.argmax(axis=1))
    sample = np.arange(1, 30, 2)
    targets = states.greedy[sample]
    others = OtherStates(agent, states, sample, targets, seed=1)
    assert (states.greedy[others.partners[sample]] == targets).all()
    assert (states.episode[others.partners[sample]] != states.episode[sample]).all()
    assert set(others.partners[sample]) <= set(sample) and (others.partners[::2] == -1).all()


def test_the_only_state_of_a_target_has_a_partner_of_another():
    agent = Agent.from_module(nn.Identity(), spaces.Box(-9, 9, (2,)), spaces.Discrete(2))
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    states = StateDataset.from_arrays(vectors, [0, 0, 0], [0, 0, 1])
    others = OtherStates(agent, states, np.arange(3), states.greedy, seed=0)
    assert others.partners[2] in (0, 1) and others.partners[0] == 1
    assert others.swap(states.batch(agent, [2], 1)).target.tolist() == [1]


def test_a_single_state_is_one_line(agent, states):
    alone = states.subset([0])
    batch = alone.batch(agent, [0]).resolve_target()
    others = OtherStates(agent, alone, np.array([0]), np.array([0]), seed=0)
    seen = batch.observations
    with pytest.raises(ExplainError, match="a single state has no other one"):
        specificity(batch, Known(agent), torch.zeros_like(seen), order(seen), others)
