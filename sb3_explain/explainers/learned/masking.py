"""Masks over observations: what they may hide, and what the agent then sees."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import is_image_shape
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch

#: (B, M, ...) M masks in [0, 1] by key, each in the shape of what stands under the key
Masks = dict[str, Tensor]


class Masking:
    """Which pixels and features masks may hide.

    :param shapes: shapes of the observation by key, (C, H, W) for images
    :param content: (top, left, height, width) in pixels of an image: only these may be hidden; all
        pixels when not given
    :param covered: keys that may be hidden; all when not given
    :param held: (...) features that may not be hidden, by key of vectors
    :raises ExplainError: if the content does not lie inside every image
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        content: tuple[int, int, int, int] | None = None,
        covered: Collection[str] | None = None,
        held: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.shapes = shapes
        self.content = content
        self.covered = shapes.keys() if covered is None else covered
        self.held = {key: features for key, features in (held or {}).items() if features.any()}
        if content is None:
            return
        top, left, height, width = content
        for _, rows, columns in [shape for shape in shapes.values() if is_image_shape(shape)] or [
            (0,) * 3
        ]:
            if not (0 <= top < top + height <= rows and 0 <= left < left + width <= columns):
                raise ExplainError(
                    f"content={content} (top, left, height, width) does not lie inside an "
                    f"observation of {rows} x {columns} pixels"
                )

    def expand_channels(self, name: str, mask: Tensor) -> Tensor:
        """Expand a mask (..., frames, H, W) to all channels (..., C, H, W) of an image.

        One frame stands for all frames, and the colors of a frame have the same mask.

        :param name: key of the image; masks of other keys are returned as they are
        :param mask: (..., frames, H, W) mask
        """
        shape = self.shapes[name]
        if not is_image_shape(shape) or mask.shape[-3] == shape[0]:
            return mask
        return mask.repeat_interleave(shape[0] // mask.shape[-3], dim=-3)

    def restrict(self, masks: Masks) -> Masks:
        """Set masks (B, M, ...) to 0 where nothing is ever hidden."""
        return {
            name: mask * inside if (inside := self._inside(name, mask)) is not None else mask
            for name, mask in masks.items()
        }

    def to_masks(self, attributions: Tensor) -> Tensor:
        """Set masks to 1 where nothing is ever hidden.

        :param attributions: (B, ...) masks that :meth:`restrict` returned, in the form of
            :attr:`sb3_explain.StateBatch.observations`
        """
        outside = {
            name: torch.zeros(1, *shape, device=attributions.device)
            if (inside := self._inside(name, attributions)) is None
            else (1 - inside).expand(1, *shape)
            for name, shape in self.shapes.items()
        }
        return attributions + StateBatch.flatten_keys(outside)

    def blend(
        self,
        masks: Masks,
        by_key: Mapping[str, Tensor],
        baselines: Mapping[str, Baseline],
    ) -> tuple[Masks, Masks]:
        """Compute VisionMask's eq. 1 and its complement for all masks at once.

        :param masks: (B, M, ...) masks by key
        :param by_key: (B, ...) observations in float32 by key
        :param baselines: baselines by key
        :return: (B, M, ...) masked states s_i and their complements, of the keys that may be hidden
        """
        states_i, complements_i = {}, {}
        for name in self.covered:
            mask, state = masks[name], by_key[name][:, None]
            baseline = baselines[name](by_key[name])[:, None]
            shown = mask * (state - baseline)
            states_i[name], complements_i[name] = baseline + shown, state - shown
            inside = self._inside(name, mask)
            if inside is not None:
                states_i[name] = torch.where(inside == 1, states_i[name], state)
                complements_i[name] = torch.where(inside == 1, complements_i[name], state)
        return states_i, complements_i

    def crop(self, masks: Masks) -> Masks:
        """Crop masks (B, M, ...) to the parts that may hide something."""
        return {name: self._crop(name, masks[name]) for name in self.covered}

    def _crop(self, name: str, mask: Tensor) -> Tensor:
        if self.content is None or not is_image_shape(self.shapes[name]):
            return mask
        top, left, height, width = self.content
        return mask[..., top : top + height, left : left + width]

    def _inside(self, name: str, like: Tensor) -> Tensor | None:
        """1 where a key may be hidden, else 0, in a shape that broadcasts; ``None`` if all may."""
        if name not in self.covered:
            return torch.zeros((), device=like.device)
        if name in self.held:
            return (~self.held[name]).float().to(like.device)
        if self.content is None or not is_image_shape(self.shapes[name]):
            return None
        inside = torch.zeros(self.shapes[name][1:], device=like.device)
        self._crop(name, inside).fill_(1)
        return inside
