"""Mask networks: shapes at any size, parameters, an initial state of nearly empty masks."""

import pytest
import torch

from sb3_explain.registry import NETWORKS


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("size", [(84, 84), (41, 60), (17, 16)])
def test_logits_have_the_image_s_size(name, size):
    network = NETWORKS[name](4, 6).eval()
    assert network(torch.rand(2, 4, *size)).shape == (2, 6, *size)


def test_compact_is_small_and_begins_nearly_empty():
    network = NETWORKS["compact"](4, 7 * 4).eval()
    assert sum(p.numel() for p in network.parameters()) <= 1_000_000
    assert network(torch.rand(2, 4, 84, 84)).sigmoid().mean() < 0.02
