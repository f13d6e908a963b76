"""Maps: scale, order, size."""

import torch

from sb3_explain.common import attributions


def test_normalise_gives_a_peak_of_one_and_survives_zeros():
    batch = torch.stack([torch.tensor([[2.0, -4.0]]), torch.zeros(1, 2)])
    torch.testing.assert_close(
        attributions.normalize(batch), torch.tensor([[[0.5, -1.0]], [[0.0, 0.0]]])
    )


def test_order_is_stable():
    ordering = attributions.order(torch.tensor([[[1.0, 3.0], [3.0, 0.0]]]))
    assert ordering.tolist() == [[1, 2, 0, 3]]


def test_the_features_of_all_keys_are_joined():
    joined = attributions.join_features(
        {"category": torch.tensor([7.0, 8.0]), "vector": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    )
    assert joined.tolist() == [[7, 1, 2], [8, 3, 4]]


def test_resize():
    assert attributions.resize(torch.ones(1, 2, 3, 4), (6, 8)).shape == (1, 2, 6, 8)
