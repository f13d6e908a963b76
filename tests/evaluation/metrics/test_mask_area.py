"""Mask area by hand."""

import torch

from sb3_explain.evaluation.metrics.mask_area import mask_area


def test_mean_over_all_cells():
    masks = torch.zeros(2, 4, 5, 5)
    masks[0, 0] = 1.0
    masks[1] = 0.3
    torch.testing.assert_close(mask_area(masks, masks), torch.tensor([0.25, 0.3]))
