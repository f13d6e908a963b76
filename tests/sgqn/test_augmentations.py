"""Augmentations, against loops over single states."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sb3_explain.sgqn.augmentations import (
    center_crop,
    random_convolution,
    random_crop,
    random_overlay,
    random_shift,
)


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 6, 12, 11), np.uint8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_shift_is_a_crop_of_the_padded_image(images, dtype):
    images = images.to(dtype)
    shifted = random_shift(images, 2, generator=seeded())
    assert shifted.dtype == dtype
    padded = functional.pad(images.float(), [2] * 4, "replicate")
    places = []
    for before, after in zip(padded, shifted.float(), strict=True):
        fits = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(before[:, y : y + 12, x : x + 11], after)
        ]
        assert len(fits) == 1
        places += fits
    assert {y for y, _ in places} == {x for _, x in places} == set(range(5))


def test_a_crop_is_a_part_of_the_image(images):
    cropped = random_crop(images, 9, generator=seeded())
    places = []
    for before, after in zip(images, cropped, strict=True):
        places += [
            (y, x)
            for y in range(4)
            for x in range(3)
            if torch.equal(before[:, y : y + 9, x : x + 9], after)
        ]
    assert len(places) == 40
    assert {y for y, _ in places} == set(range(4)) and {x for _, x in places} == set(range(3))
    assert torch.equal(center_crop(images, 9), images[:, :, 1:10, 1:10])


def test_a_convolution_of_its_own_for_each_state(images):
    images = images[:3]
    convolved = random_convolution(images, generator=seeded())
    weights = torch.randn(9, 3, 3, 3, generator=seeded())
    for i, image in enumerate(images.float() / 255):
        own = weights[3 * i : 3 * i + 3]
        for frame in range(2):
            padded = functional.pad(image[None, 3 * frame : 3 * frame + 3], [1] * 4, "replicate")
            expected = 255 / (1 + torch.exp(-functional.conv2d(padded, own)[0]))
            torch.testing.assert_close(convolved[i, 3 * frame : 3 * frame + 3], expected)


def test_a_convolution_of_other_ranges_and_channels_is_the_same(images):
    ours = random_convolution(images / 255, channels=1, largest=1, generator=seeded())
    theirs = random_convolution(images, channels=1, generator=seeded()) / 255
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(40, 1, 3, 3, generator=seeded())
    for i in (0, 39):
        padded = functional.pad(images[i, :, None] / 255, [1] * 4, "replicate")
        expected = functional.conv2d(padded, weights[i : i + 1])[:, 0].sigmoid()
        torch.testing.assert_close(ours[i], expected)


def test_an_overlay_is_one_picture_over_all_frames(images):
    pictures = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 3, 12, 11), np.uint8))
    mixed = random_overlay(images, pictures, share=0.25, generator=seeded())
    chosen = torch.randint(5, (40,), generator=seeded())
    for i in range(40):
        over = torch.cat([pictures[chosen[i]]] * 2).float()
        torch.testing.assert_close(mixed[i], 0.75 * images[i].float() + 0.25 * over)
    assert len(set(chosen.tolist())) == 5
    torch.testing.assert_close(random_overlay(images, pictures, share=0.0), images.float())
