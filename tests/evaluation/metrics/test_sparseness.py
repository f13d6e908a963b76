"""Sparseness against Quantus, a slow loop and cases known by hand."""

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_explain.evaluation.metrics.sparseness import sparseness


@pytest.mark.filterwarnings("ignore")
def test_quantus():
    attributions = torch.randn(4, 3, 10, 10, generator=torch.Generator().manual_seed(0)) ** 3
    metric = quantus.Sparseness(abs=True, normalise=True, disable_warnings=True)
    # one call per state: Quantus normalises by the maximum of all that it is given
    expected = [
        metric(
            model=nn.Identity(),
            x_batch=np.zeros((1, 3, 10, 10)),
            y_batch=np.zeros(1, dtype=int),
            a_batch=one.numpy()[None].astype(np.float64),
            channel_first=True,
            batch_size=1,
        )[0]
        for one in attributions
    ]
    np.testing.assert_allclose(sparseness(attributions), expected, atol=1e-6)


def test_slow_loop():
    attributions = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    for one, value in zip(
        attributions.numpy().astype(float), sparseness(attributions), strict=True
    ):
        a = np.sort(np.abs(one).ravel() / np.abs(one).max() + 1e-7)
        n, total = len(a), 0.0
        for i, observed in enumerate(a, start=1):
            total += (2 * i - n - 1) * observed
        assert value.item() == pytest.approx(total / (n * a.sum()), abs=1e-6)


def test_by_hand():
    attributions = torch.tensor(
        [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, -2.0, 0.0], [0.0] * 4, [0, 0, 1, 1]]
    )
    np.testing.assert_allclose(sparseness(attributions), [0.0, 0.75, 0.0, 0.5], atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=30),
    scale=st.sampled_from([0.125, 0.5, 4.0, 1024.0]),
)
def test_in_unit_interval_and_independent_of_scale(values, scale):
    attributions = torch.tensor([values])
    value = sparseness(attributions).item()
    assert -1e-12 <= value <= 1
    if attributions.abs().max() > 1e-30:
        assert sparseness(-scale * attributions).item() == pytest.approx(value, abs=1e-9)
