"""Augmentations of batches of stacked images, on the device of the images.

Images are (B, n_stack * C, H, W) in [0, 255], uint8 or float. All frames of a state are changed in
the same way, so that the motion between them is preserved.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from sb3_explain.common.errors import unknown_name

#: what is done to the states of the augmented losses and of the auxiliary tasks
STRONG = ("overlay", "convolution")


def random_shift(
    images: Tensor, pad: int = 4, *, generator: torch.Generator | None = None
) -> Tensor:
    """Shift each state by up to ``pad`` pixels, repeating the border (Kostrikov et al. 2020, DrQ).

    :param images: (B, C, H, W)
    :param pad: largest shift in each direction, in pixels
    :param generator: random generator of the shifts, on the CPU
    :return: (B, C, H, W), of the same dtype
    """
    height, width = images.shape[2:]
    up, left = (_draw_offsets(len(images), -pad, pad, images.device, generator) for _ in range(2))
    rows = (torch.arange(height, device=images.device) + up[:, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + left[:, None]).clamp(0, width - 1)
    return _gather(images, rows, columns)


def random_crop(
    images: Tensor, size: int = 84, *, generator: torch.Generator | None = None
) -> Tensor:
    """Crop a random square from each state (Laskin et al. 2020, RAD).

    :param images: (B, C, H, W), at least as large as the square
    :param size: side of the square, in pixels
    :param generator: random generator of the positions, on the CPU
    :return: (B, C, size, size), of the same dtype
    """
    spare = images.shape[2] - size, images.shape[3] - size
    top, left = (_draw_offsets(len(images), 0, room, images.device, generator) for room in spare)
    side = torch.arange(size, device=images.device)
    return _gather(images, side + top[:, None], side + left[:, None])


def center_crop(images: Tensor, size: int = 84) -> Tensor:
    """Crop the central square, (B, C, size, size), which an agent sees when it acts."""
    top, left = (images.shape[2] - size) // 2, (images.shape[3] - size) // 2
    return images[:, :, top : top + size, left : left + size]


def random_convolution(
    images: Tensor,
    *,
    channels: int = 3,
    largest: float = 255,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Pass each state through a random 3x3 convolution of its own (Lee et al. 2020).

    The weights are standard normal, the border is repeated, and a sigmoid maps the result back to
    the range of the images. All frames of a state have the same weights.

    :param images: (B, n_stack * channels, H, W)
    :param channels: number of channels C of a single frame
    :param largest: largest value of a pixel, e.g. 1 where the images are in [0, 1]
    :param generator: random generator of the weights, on the CPU
    :return: (B, n_stack * channels, H, W) float, in [0, largest]
    """
    n, depth, height, width = images.shape
    scaled = (images if images.is_floating_point() else images.float()) / largest
    weights = torch.randn(n * channels, channels, 3, 3, generator=generator).to(scaled)
    # frames become the batch and states the groups, each with weights of its own
    frames = scaled.reshape(n, -1, channels, height, width).transpose(0, 1)
    padded = functional.pad(frames.reshape(-1, n * channels, height, width), [1] * 4, "replicate")
    drawn = functional.conv2d(padded, weights, groups=n).sigmoid() * largest
    drawn = drawn.view(-1, n, channels, height, width).transpose(0, 1)
    return drawn.reshape(n, depth, height, width).to(scaled)


def random_overlay(
    images: Tensor,
    pictures: Tensor,
    *,
    share: float = 0.5,
    scale: float = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mix each state with a random picture, the same for all its frames (Hansen and Wang 2021).

    :param images: (B, n_stack * C, H, W)
    :param pictures: (P, C, H, W) pictures to choose from, on the same device
    :param share: weight of the picture in the mixture, in [0, 1]
    :param scale: factor of the pictures' values, e.g. 1 / 255 where the images are in [0, 1]
    :param generator: random generator of the choice, on the CPU
    :return: (B, n_stack * C, H, W) float, (1 - share) * image + share * scale * picture
    """
    if not images.is_floating_point():
        images = images.float()
    chosen = torch.randint(len(pictures), (len(images),), generator=generator)
    # as the networks' images lie in memory: mixed layouts are several times slower
    over = (
        pictures[chosen.to(pictures.device)].to(images.dtype, memory_format=torch.channels_last)
        * scale
    )
    frames = images.unflatten(1, (-1, pictures.shape[1]))  # type: ignore[no-untyped-call]
    return torch.lerp(frames, over[:, None], share).flatten(1, 2)


def get_augmentation(name: str, channels: int, size: int | None) -> Callable[[Tensor], Tensor]:
    """Augmentation of sampled states (B, n_stack * channels, H, W) in [0, 255].

    :param name: ``"none"``, ``"shift"``, ``"convolution"``, or ``"crop"`` where there is a size
    :param channels: number of channels C of a single frame
    :param size: side of the crops in pixels; ``None`` for networks that look at whole images
    :raises ExplainError: for an unknown name; the nearest is suggested
    """
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "none": lambda images: images,
        "shift": random_shift,
        "convolution": partial(random_convolution, channels=channels),
    }
    if size is not None:
        known["crop"] = partial(random_crop, size=size)
    if name not in known:
        raise unknown_name("augmentation", name, known)
    return known[name]


def _draw_offsets(
    n: int, low: int, high: int, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    return torch.randint(low, high + 1, (n,), generator=generator).to(device)


def _gather(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Take the rows (B, h) and columns (B, w) of each image."""
    n, depth, _, width = images.shape
    there = images.gather(2, rows[:, None, :, None].expand(n, depth, -1, width))
    return there.gather(3, columns[:, None, None, :].expand(n, depth, rows.shape[1], -1))
