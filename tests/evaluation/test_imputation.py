"""What replaces removed pixels: ROAD's imputation against Quantus, inpainting by hand."""

import numpy as np
import pytest
import torch
from quantus.functions.perturb_func import noisy_linear_imputation

from sb3_explain.evaluation.imputation import draw_noise, impute_linearly, inpaint

SHAPE = (3, 9, 8)
QUIET = torch.zeros(SHAPE)


@pytest.fixture
def images():
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)) * 255


def removal(share, seed=1):
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_noisy_linear_is_that_of_quantus(images, share):
    removed = removal(share)[:, :1].expand(images.shape)  # the same in all channels
    filled = impute_linearly(images, removed, torch.zeros_like(images), QUIET)
    for image, mask, ours in zip(images, removed, filled, strict=True):
        gone = np.flatnonzero(mask[0].numpy())
        theirs = noisy_linear_imputation(image.double().numpy(), gone, noise=0.0)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        assert not torch.equal(ours, image)


@pytest.mark.filterwarnings("ignore")
def test_channels_that_lack_different_pixels_are_solved_apart(images):
    removed = removal(0.4)
    filled = impute_linearly(images, removed, torch.zeros_like(images), QUIET)
    for image, mask, ours in zip(images, removed, filled, strict=True):
        for channel in range(3):
            gone = np.flatnonzero(mask[channel].numpy())
            layer = image[channel : channel + 1].double().numpy()
            theirs = noisy_linear_imputation(layer, gone, noise=0.0)
            np.testing.assert_allclose(ours[channel], theirs[0], atol=1e-3)


def test_noise_is_that_of_the_state_and_on_removed_pixels_alone(images):
    removed, black = removal(0.4), torch.zeros_like(images)
    quiet = impute_linearly(images, removed, black, QUIET)
    noisy = impute_linearly(images, removed, black, QUIET + 0.01 * 255)
    drawn = torch.stack([draw_noise(image) for image in images]) * 2.55
    torch.testing.assert_close(noisy - quiet, torch.where(removed, drawn, 0.0), atol=1e-3, rtol=0)
    assert torch.equal(noisy, impute_linearly(images, removed, black, QUIET + 2.55))
    assert abs(float(drawn.std()) - 2.55) < 0.3


@pytest.mark.parametrize(
    "fill", [inpaint, lambda *given: impute_linearly(*given, QUIET)], ids=["inpaint", "linear"]
)
def test_what_every_imputation_keeps_to(fill, images):
    removed, baseline = removal(0.6), torch.full_like(images, 7.0)
    filled = fill(images, removed, baseline)
    assert torch.equal(filled[~removed], images[~removed])
    known = torch.where(removed, torch.nan, images)
    for image, by_state in zip(filled, known, strict=True):
        for layer, seen in zip(image, by_state, strict=True):
            values = seen[~seen.isnan()]  # a mean of known pixels lies between them
            assert values.min() - 1e-3 <= layer.min() and layer.max() <= values.max() + 1e-3
    nothing = torch.zeros_like(removed)
    assert torch.equal(fill(images, nothing, baseline), images)
    assert torch.equal(fill(images, ~nothing, baseline), baseline)
    flat = torch.full_like(images, 3.0)
    torch.testing.assert_close(fill(flat, removed, baseline), flat)


def test_inpainting_takes_the_nearest_block():
    image = torch.zeros(1, 1, 4, 4)
    image[..., :2] = 10.0
    image[..., 2:] = 20.0
    removed = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    removed[0, 0, 0, 0] = removed[0, 0, 3, 3] = True
    filled = inpaint(image, removed, torch.zeros_like(image))
    # at a corner, the bilinear transition is the value of the corner's own block
    assert filled[0, 0, 0, 0] == 10 and filled[0, 0, 3, 3] == 20
    removed[0, 0, :2, :2] = True  # the whole block: its neighbors' mean at half the size
    filled = inpaint(image, removed, torch.zeros_like(image))
    assert filled[0, 0, 0, 0] == pytest.approx((10 + 20 + 20) / 3)
