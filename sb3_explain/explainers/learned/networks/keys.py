"""Masks for whole observations: a network for each image, and one for all vectors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import is_image_shape
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.networks.blocks import Standardize


class KeyMasks(nn.Module):
    """Logits of masks over every key of an observation.

    An image's network gets the image and, if there are vectors, a constant plane for each feature;
    the vectors' network (``mlp``) gets all vectors.

    :param shapes: shapes (C, H, W) or (D,) of the observation by key
    :param n_masks: number M of masks over each key
    :param n_frames: number of frames of an image's mask; 1 for one mask over all of its channels
    :param network: name of the mask network for images
    :param options: further arguments of that network
    :raises ExplainError: if the network does not take these arguments
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        n_masks: int,
        n_frames: int,
        network: str = "compact",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.n_masks = n_masks
        self.vectors = {name: shape for name, shape in shapes.items() if not is_image_shape(shape)}
        features = sum(_size(shape) for shape in self.vectors.values())
        # numbered, since keys may have characters that names of modules may not have
        images = [name for name in shapes if name not in self.vectors]
        self.places = {name: i for i, name in enumerate(images)}
        build = NETWORKS[network]
        try:
            inspect.signature(build).bind(0, 0, **(options or {}))
        except TypeError as error:
            raise ExplainError(f"the mask network {network}: {error}") from error
        self.images = nn.ModuleList(
            build(shapes[name][0] + features, n_masks * n_frames, **(options or {}))
            for name in images
        )
        self.planes = Standardize(features) if features else None
        self.mlp = NETWORKS["mlp"](features, n_masks * features) if features else None

    def forward(self, by_key: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn observations by key into logits of masks.

        :param by_key: (B, ...) observations by key, with images scaled to [0, 1]
        :return: (B, M, F, H, W) logits for images and (B, M, ...) for other keys, by key
        """
        logits: dict[str, Tensor] = {}
        flat = [by_key[name].reshape(len(by_key[name]), -1) for name in self.vectors]
        joined = torch.cat(flat, dim=1) if flat else None
        for name, place in self.places.items():
            image = by_key[name]
            if joined is not None and self.planes is not None:
                planes = self.planes(joined)[:, :, None, None]
                image = torch.cat([image, planes.expand(-1, -1, *image.shape[2:])], dim=1)
            masks = self.images[place](image.contiguous(memory_format=torch.channels_last))
            logits[name] = masks.reshape(len(masks), self.n_masks, -1, *masks.shape[2:])
        if joined is not None and self.mlp is not None:
            masks = self.mlp(joined).reshape(len(joined), self.n_masks, -1)
            parts = masks.split([_size(shape) for shape in self.vectors.values()], dim=2)
            for (name, shape), part in zip(self.vectors.items(), parts, strict=True):
                logits[name] = part.reshape(len(part), self.n_masks, *shape)
        return {name: logits[name] for name in by_key}


def _size(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
