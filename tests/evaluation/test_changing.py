"""Insertion and deletion by patches, superpixels and imputations, against slow loops."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import order
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.imputation import impute_linearly, inpaint
from sb3_explain.evaluation.metrics.deletion import deletion
from sb3_explain.evaluation.metrics.insertion import insertion
from sb3_explain.evaluation.metrics.policy_preservation import policy_preservation
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.evaluation.regions import rank, rank_patches
from sb3_explain.explainers.perturbation.lime import slic
from sb3_explain.states.baselines import fit_baselines
from sb3_explain.states.dataset import StateDataset

SIDE, FRAMES, STEPS, N = 12, 2, 6, 8


@pytest.fixture(scope="module")
def agent():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(FRAMES, 6, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(150, 4))
    with torch.no_grad():
        net[0].weight /= 128
        net[3].weight *= 5
    return Agent.from_module(
        net, spaces.Box(0, 255, (FRAMES, SIDE, SIDE), np.uint8), spaces.Discrete(4)
    )


@pytest.fixture(scope="module")
def states(agent):
    frames = np.random.default_rng(0).integers(0, 256, (N, FRAMES, SIDE, SIDE), dtype=np.uint8)
    greedy = agent.greedy(torch.from_numpy(frames).float()).numpy()
    return StateDataset.from_arrays(frames, np.arange(N) // 2, greedy)


@pytest.fixture
def batch(agent, states):
    return states.batch(agent, np.arange(N)).resolve_target()


@pytest.fixture
def attributions(batch):
    return torch.rand(batch.observations.shape, generator=torch.Generator().manual_seed(2))


def gray(batch):
    return torch.full_like(batch.observations, 90.0)


def read(agent, copy, target):
    with torch.no_grad():
        return agent.scores(copy[None].float()).softmax(dim=1)[0, target].item()


def slow_curve(agent, batch, replaced, changed_at, reveal):
    """Curve of a state: ``changed_at(i, k)`` says where it has changed, ``replaced`` by what."""
    curves = np.empty((len(batch), STEPS + 1))
    for i, state in enumerate(batch.observations):
        for k in range(STEPS + 1):
            changed = changed_at(i, k)
            removed = ~changed if reveal else changed
            curves[i, k] = read(agent, replaced(i, state, removed), int(batch.target[i]))
    return curves


@pytest.mark.parametrize("per_frame", [True, False])
def test_patches_change_as_a_whole(agent, batch, attributions, per_frame):
    """A loop over pixels: each brings the patch around it, until the step's share has changed."""
    size = 3

    def changed_at(i, k):
        pixels = attributions[i].numpy()
        if not per_frame:
            pixels = pixels.max(axis=0, keepdims=True)
        share = round(k * pixels.size / STEPS)
        mask = np.zeros(pixels.shape, dtype=bool)
        rank_of = np.empty(pixels.size, dtype=int)
        rank_of[np.argsort(-pixels.ravel(), kind="stable")] = np.arange(pixels.size)
        for flat in np.argsort(-pixels.ravel(), kind="stable"):
            c, y, x = np.unravel_index(flat, pixels.shape)
            patch = [
                (c, v, u)
                for v in range(max(0, y - 1), min(SIDE, y + 2))
                for u in range(max(0, x - 1), min(SIDE, x + 2))
                if not mask[c, v, u]
            ]
            for pixel in sorted(
                patch, key=lambda at: rank_of[np.ravel_multi_index(at, pixels.shape)]
            ):
                if mask.sum() < share:
                    mask[pixel] = True
        return torch.from_numpy(np.broadcast_to(mask, (FRAMES, SIDE, SIDE)).copy())

    options = {"steps": STEPS, "patch_size": size, "per_frame": per_frame}
    for metric, reveal in ((deletion, False), (insertion, True)):
        curves = metric(batch, gray(batch), order(attributions), **options)
        expected = slow_curve(
            agent, batch, lambda i, state, gone: torch.where(gone, 90.0, state), changed_at, reveal
        )
        np.testing.assert_allclose(curves, expected, atol=1e-5)


def test_a_patch_of_one_pixel_is_the_pixel(batch, attributions):
    ranks = rank(order(attributions)).view(attributions.shape)
    assert torch.equal(rank_patches(ranks, 1), ranks)
    one = insertion(batch, gray(batch), order(attributions), steps=STEPS, patch_size=1)
    assert torch.equal(one, insertion(batch, gray(batch), order(attributions), steps=STEPS))


def test_superpixels_change_as_a_whole(agent, batch, attributions):
    def changed_at(i, k):
        picture = batch.observations[i].mean(dim=0).numpy()
        labels = slic((picture - picture.min()) / np.ptp(picture))
        mass = attributions[i].numpy().mean(axis=0)
        ordered = sorted(np.unique(labels), key=lambda n: -mass[labels == n].mean())
        mask, passed = np.zeros((SIDE, SIDE), dtype=bool), 0
        for number in ordered:  # whole, once half of it would have changed
            size = int((labels == number).sum())
            mask |= (labels == number) & (passed + size // 2 < round(k * SIDE * SIDE / STEPS))
            passed += size
        return torch.from_numpy(np.broadcast_to(mask, (FRAMES, SIDE, SIDE)).copy())

    for metric, reveal in ((deletion, False), (insertion, True)):
        curves = metric(
            batch, gray(batch), order(attributions), attributions,
            steps=STEPS, segmentation_method="slic",
        )  # fmt: skip
        expected = slow_curve(
            agent, batch, lambda i, state, gone: torch.where(gone, 90.0, state), changed_at, reveal
        )
        np.testing.assert_allclose(curves, expected, atol=1e-5)
        assert (curves.diff(dim=1).abs() > 1e-3).any()


@pytest.mark.parametrize("perturb_func", ["inpaint", "noisy_linear"])
def test_imputation_at_every_step(agent, batch, attributions, perturb_func):
    ranks = rank(order(attributions)).view(attributions.shape)

    def replaced(i, state, gone):
        given = state[None], gone[None], gray(batch)[:1]
        if perturb_func == "inpaint":
            return inpaint(*given)[0]
        return impute_linearly(*given, torch.full(state.shape, 0.02 * 255))[0]

    for metric, reveal in ((deletion, False), (insertion, True)):
        curves = metric(
            batch, gray(batch), order(attributions),
            steps=STEPS, perturb_func=perturb_func, noise=0.02,
        )  # fmt: skip
        expected = slow_curve(
            agent, batch, replaced,
            lambda i, k: ranks[i] < round(k * ranks[i].numel() / STEPS), reveal,
        )  # fmt: skip
        np.testing.assert_allclose(curves, expected, atol=1e-4)


def test_a_donor_is_another_state_of_another_episode(agent, states, batch, attributions):
    others = OtherStates(agent, states, np.arange(N), batch.target.numpy(), seed=0)
    assert (states.episode[others.donors] != states.episode).all()
    given = insertion(
        batch, gray(batch), order(attributions), others=others,
        steps=STEPS, perturb_baseline="donor",
    )  # fmt: skip
    donors = states.observations(others.donors).float()
    ranks = rank(order(attributions)).view(attributions.shape)
    expected = slow_curve(
        agent, batch, lambda i, state, gone: torch.where(gone, donors[i], state),
        lambda i, k: ranks[i] < round(k * ranks[i].numel() / STEPS), reveal=True,
    )  # fmt: skip
    np.testing.assert_allclose(given, expected, atol=1e-5)
    again = OtherStates(agent, states, np.arange(N), batch.target.numpy(), seed=0)
    assert (again.donors == others.donors).all() and (again.partners == others.partners).all()


def test_a_baseline_by_name_takes_the_place_of_the_given_one(agent, states, batch, attributions):
    others = OtherStates(agent, states, np.arange(N), batch.target.numpy(), seed=0)
    given = deletion(
        batch, gray(batch), order(attributions), others=others, steps=STEPS, perturb_baseline="mean"
    )
    mean = fit_baselines("mean", states, agent)[""](batch.observations)
    assert torch.equal(given, deletion(batch, mean, order(attributions), steps=STEPS))


def test_the_cap_is_the_states_own_probability(agent, batch, attributions):
    free = insertion(batch, gray(batch), order(attributions), steps=STEPS)
    capped = insertion(batch, gray(batch), order(attributions), steps=STEPS, cap=True)
    for i, state in enumerate(batch.observations):
        own = read(agent, state, int(batch.target[i]))
        np.testing.assert_allclose(capped[i], free[i].clamp_max(own), atol=1e-6)
    assert (capped < free - 1e-3).any()


@pytest.mark.parametrize(
    "options",
    [{"patch_size": 3}, {"segmentation_method": "slic"}, {"perturb_func": "inpaint"}],
)
@pytest.mark.parametrize("metric", [insertion, deletion, policy_preservation])
def test_regions_of_what_is_no_image_are_one_line(metric, options):
    agent = Agent.from_module(nn.Identity(), spaces.Box(-9, 9, (4,)), spaces.Discrete(4))
    vectors = StateDataset.from_arrays(np.eye(4, dtype=np.float32), np.arange(4), np.arange(4))
    batch = vectors.batch(agent, [0, 1, 2, 3])
    seen = batch.observations
    with pytest.raises(ExplainError, match="need a single image") as refusal:
        metric(batch, torch.zeros(4, 4), order(seen), seen, **options)
    assert "\n" not in str(refusal.value)


def test_what_is_missing_is_one_line(batch, attributions):
    with pytest.raises(ExplainError, match="needs the other states"):
        insertion(batch, gray(batch), order(attributions), perturb_baseline="donor")
    with pytest.raises(ExplainError, match="give attributions="):
        insertion(batch, gray(batch), order(attributions), segmentation_method="slic")
