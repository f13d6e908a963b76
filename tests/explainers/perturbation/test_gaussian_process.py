"""A share of the local blurs against all of them, and against a Gaussian process in plain NumPy."""

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.gaussian_process import (
    NOISE,
    choose_copies,
    find_covariance,
)
from sb3_explain.explainers.perturbation.greydanus import Greydanus
from sb3_explain.explainers.perturbation.sarfa import Sarfa
from tests.explainers.looking import images, smooth_agent

SHAPE = (2, 23, 31)


def test_the_covariance_is_that_of_independent_weights():
    generator = torch.Generator().manual_seed(0)
    change, rows, columns = (
        torch.rand(*shape, generator=generator) for shape in ((2, 3, 5, 4), (3, 5), (2, 4))
    )
    masks = np.stack([np.outer(row, column) for row in rows for column in columns])
    for covariance, one in zip(find_covariance(change, rows, columns), change, strict=True):
        copies = (masks[:, None] * one.numpy()).reshape(6, -1)
        expected = copies @ copies.T
        expected += NOISE * np.diag(expected).mean() * np.eye(6)
        np.testing.assert_allclose(covariance, expected, rtol=1e-5)


def test_the_most_uncertain_copies_are_chosen_and_the_others_follow_from_them():
    basis = torch.rand(2, 9, 20, generator=torch.Generator().manual_seed(1)).double()
    covariance = basis @ basis.transpose(1, 2)
    chosen, weights = choose_copies(covariance, 4)
    for K, found, weight in zip(covariance.numpy(), chosen.numpy(), weights.numpy(), strict=True):
        best: list[int] = []
        for _ in range(4):
            known = K[:, best] @ np.linalg.inv(K[np.ix_(best, best)])
            uncertain = np.diag(K) - np.sum(known * K[:, best], axis=1)
            uncertain[best] = -1
            best.append(int(np.argmax(uncertain)))
        assert found.tolist() == best
        expected = K[:, best] @ np.linalg.inv(K[np.ix_(best, best)])
        np.testing.assert_allclose(weight, expected, atol=1e-9)


@pytest.mark.parametrize("method", [Greydanus, Sarfa])
@pytest.mark.parametrize("chunk", [128, 5])
def test_all_points_one_by_one_give_the_exact_map(method, chunk):
    agent, seen = smooth_agent(SHAPE), images(3, SHAPE)
    exact = method(agent).attribute(seen, 1)
    nearly_all = method(agent, share=0.999, max_batch_bytes=4 * seen[0].numel() * chunk)
    assert nearly_all.forwards_per_state == method(agent).forwards_per_state
    np.testing.assert_allclose(nearly_all.attribute(seen, 1), exact, atol=1e-4 * float(exact.max()))


@pytest.mark.parametrize("part", ["actor", "critic"])
def test_a_share_of_the_points_gives_nearly_the_same_map(part):
    agent, seen = smooth_agent(SHAPE), images(3, SHAPE)
    exact, fewer = Greydanus(agent, part=part), Greydanus(agent, part=part, share=0.5)
    before = agent.forwards
    found = fewer.attribute(seen)
    assert agent.forwards - before == 3 * fewer.forwards_per_state
    assert fewer.forwards_per_state == 19  # 18 of 5 x 7 points, and the state itself
    expected = exact.attribute(seen)
    for one, other in zip(found, expected, strict=True):
        assert np.corrcoef(one.flatten(), other.flatten())[0, 1] > 0.95


def test_a_state_that_no_blur_changes_has_a_map_of_zeros():
    flat = torch.full((1, *SHAPE), 100.0)
    found = Greydanus(smooth_agent(SHAPE), share=0.3).attribute(flat)
    np.testing.assert_allclose(found, 0, atol=1e-6)


@pytest.mark.parametrize("share", [0, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ExplainError, match="give a share of the grid points"):
        Greydanus(smooth_agent(SHAPE), share=share)
