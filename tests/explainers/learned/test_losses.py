"""Each term of the loss against the paper's equation, written out as slow loops."""

import math

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.learned import losses as loss

RNG = np.random.default_rng(0)
B, K = 3, 4
SCORES = RNG.normal(size=(B, K, K)) * 3
TARGET = np.array([2, 0, 3])
MASKS = RNG.random((B, K, 2, 5, 6))


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def test_contrastive_is_eq_2_and_3():
    total = 0.0
    for z, a in zip(SCORES, TARGET, strict=True):
        positive = sum((k == a) * math.log(softmax(z[a])[a]) for k in range(K)) / K
        negative = sum((k == a) * math.log(softmax(z[:, a])[a]) for k in range(K)) / K
        total += -(positive + negative)
    paper = total / B
    ours = loss.contrastive(torch.tensor(SCORES), torch.tensor(TARGET))
    assert float(ours) * 2 / K == pytest.approx(paper, abs=1e-12)


def test_contrastive_box_is_eq_2_and_3_of_similarities():
    """Each dimension is a target; the complement is one more mask in its column."""
    divergences, of_complements = np.exp(SCORES), np.exp(SCORES[::-1])
    total = 0.0
    for kl, left in zip(divergences, of_complements, strict=True):
        z, z_left = -np.log(1 + kl), -np.log(1 + left)
        for i in range(K):
            row = softmax(z[i])[i]
            column = softmax(np.append(z[:, i], z_left[i, i]))[i]
            total += -(math.log(row) + math.log(column)) / 2 - z[i, i]
    ours = loss.contrastive_box(torch.tensor(-divergences), torch.tensor(-of_complements))
    assert float(ours) == pytest.approx(total / B / K, abs=1e-12)


def test_of_one_dimension_the_complement_is_the_only_other_mask():
    stored, left = torch.tensor([[[-1.0]]]), torch.tensor([[[-3.0]]])
    # 1 + KL is 2 and 4: the row has one dimension, the column 1/2 against 1/4
    expected = -math.log((1 / 2) / (1 / 2 + 1 / 4)) / 2 + math.log(2)
    assert float(loss.contrastive_box(stored, left)) == pytest.approx(expected)


@pytest.mark.parametrize("over_masks", [True, False])
def test_negative_entropy_is_eq_4(over_masks):
    paper = practice = 0.0
    for z in SCORES:
        for i in range(K):
            for j in range(K):
                p, q = softmax(z[i])[j], softmax(z[:, j])[i]
                paper += p * math.log(p) / K**2 / B
                practice += q * math.log(q) / K**2 / B
    expected = (paper + practice) / 2 if over_masks else paper
    ours = loss.negative_entropy(torch.tensor(SCORES), over_masks=over_masks)
    assert float(ours) == pytest.approx(expected, abs=1e-12)


def test_area_terms_are_eq_5_and_its_readings():
    means = MASKS.reshape(B, K, -1).mean(axis=2)
    masks = torch.tensor(MASKS)
    assert float(loss.area(masks, 0.5, "l1_paper")) == pytest.approx(np.abs(means - 0.5).mean())
    hinge = 0.5 + 2 * np.maximum(means - 0.5, 0)
    assert float(loss.area(masks, 0.5, "hinge")) == pytest.approx(hinge.mean())


def test_minmax_area_is_stalders_sorted_bounds():
    n = MASKS[0, 0].size
    total = 0.0
    for mask in MASKS.reshape(B * K, n):
        for rank, value in enumerate(sorted(mask, reverse=True)):
            total += max((rank < 0.05 * n) - value, 0) + max(value - (rank < 0.3 * n), 0)
    assert float(loss.area(torch.tensor(MASKS), 0.1, "minmax")) == pytest.approx(total / n / B / K)


def test_a_mask_below_the_maximum_costs_nothing_more():
    small = torch.full((1, 2, 3, 4), 0.02, requires_grad=True)
    loss.area(small, 0.1, "hinge").backward()
    assert float(small.grad.abs().max()) == pytest.approx(0, abs=1e-9)


def test_unknown_area_term():
    with pytest.raises(ExplainError, match="did you mean 'hinge'"):
        loss.area(torch.tensor(MASKS), 0.1, "hingee")


def test_total_variation_by_hand():
    masks = torch.tensor([[0.0, 1.0], [0.0, 0.5]])
    assert float(loss.total_variation(masks)) == pytest.approx((0 + 0.5) / 2 + (1 + 0.5) / 2)


def test_total_variation_along_an_axis_without_neighbors_is_0():
    column = torch.tensor([0.0, 1.0, 0.5]).reshape(1, 1, 1, 3, 1).requires_grad_()
    assert loss.total_variation(column).item() == 0.75
    assert loss.total_variation(column.transpose(-1, -2)).item() == 0.75
    loss.total_variation(column).backward()
    assert column.grad.isfinite().all()
    assert loss.total_variation(column[..., :1, :]).item() == 0
