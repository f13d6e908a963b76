"""Maps: scale, order, threshold, frames."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sb3_explain import maps


def test_normalise_gives_a_peak_of_one_and_survives_zeros():
    batch = torch.stack([torch.tensor([[2.0, -4.0]]), torch.zeros(1, 2)])
    torch.testing.assert_close(maps.normalise(batch), torch.tensor([[[0.5, -1.0]], [[0.0, 0.0]]]))


def test_order_is_stable():
    ordering = maps.order(torch.tensor([[[1.0, 3.0], [3.0, 0.0]]]))
    assert ordering.tolist() == [[1, 2, 0, 3]]


@given(n=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 5))
def test_top_share_keeps_exactly_the_highest(n, share, seed):
    torch.manual_seed(seed)
    batch = torch.randint(0, 4, (3, n)).float()  # many ties
    kept = maps.top_share(batch, share)
    assert kept.sum(dim=1).tolist() == [round(share * n)] * 3
    for values, chosen in zip(batch, kept, strict=True):
        if 0 < chosen.sum() < n:
            assert values[chosen == 1].min() >= values[chosen == 0].max()


def test_merge_and_resize():
    frames = torch.tensor([[[[0.0, 1.0]], [[0.5, 0.0]]]])
    assert maps.merge_frames(frames).tolist() == [[[0.5, 1.0]]]
    assert maps.resize(torch.ones(1, 2, 3, 4), (6, 8)).shape == (1, 2, 6, 8)
