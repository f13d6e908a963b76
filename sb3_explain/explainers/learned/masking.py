"""Masks laid over observations: which cells they may hide, and what the agent then sees."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import is_image_shape
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch

#: (B, M, ...) values in [0, 1] of M masks over each key of an observation, of the key's shape
Masks = dict[str, Tensor]


class Masking:
    """Where the masks of an observation may hide something.

    :param shapes: of the keys, (C, H, W) for images, by name
    :param content: (top, left, height, width) in cells of an image: only these may be hidden; all
        cells when not given
    :param covered: keys that may be hidden; all when not given
    :raises ExplainError: if the content does not lie inside every image
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        content: tuple[int, int, int, int] | None = None,
        covered: Collection[str] | None = None,
    ) -> None:
        self.shapes = shapes
        self.content = content
        self.covered = shapes.keys() if covered is None else covered
        if content is None:
            return
        top, left, height, width = content
        for _, rows, columns in [shape for shape in shapes.values() if is_image_shape(shape)] or [
            (0,) * 3
        ]:
            if not (0 <= top < top + height <= rows and 0 <= left < left + width <= columns):
                raise ExplainError(
                    f"content={content} (top, left, height, width) does not lie inside an "
                    f"observation of {rows} x {columns} cells"
                )

    def over_channels(self, name: str, mask: Tensor) -> Tensor:
        """(..., frames, H, W) as (..., C, H, W): one frame is all frames, and colours are alike."""
        shape = self.shapes[name]
        if not is_image_shape(shape) or mask.shape[-3] == shape[0]:
            return mask
        return mask.repeat_interleave(shape[0] // mask.shape[-3], dim=-3)

    def hidden(self, masks: Masks) -> Masks:
        """Masks without the cells that are never hidden."""
        return {
            name: mask * inside if (inside := self._inside(name, mask)) is not None else mask
            for name, mask in masks.items()
        }

    def shown(self, attributions: Tensor) -> Tensor:
        """Masks with 1 for the cells that are never hidden.

        :param attributions: (B, ...) from :meth:`hidden`, in the form of
            :attr:`sb3_explain.states.batch.StateBatch.observations`
        """
        outside = {
            name: torch.zeros(1, *shape, device=attributions.device)
            if (inside := self._inside(name, attributions)) is None
            else (1 - inside).expand(1, *shape)
            for name, shape in self.shapes.items()
        }
        return attributions + StateBatch.flat(outside)

    def blends(
        self,
        masks: Masks,
        by_key: Mapping[str, Tensor],
        baselines: Mapping[str, Baseline],
    ) -> tuple[Masks, Masks]:
        """VisionMask's eq. 1 and its complement for all masks at once: (B, M, ...) s_i, and s~_i.

        Of the keys that may be hidden; the others are to be held.

        :param masks: (B, M, ...)
        :param by_key: (B, ...) float32
        :param baselines: what a hidden cell becomes, by key
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

    def fields(self, masks: Masks) -> Masks:
        """The parts of the masks (B, M, ...) that may hide something."""
        return {name: self._field(name, masks[name]) for name in self.covered}

    def _field(self, name: str, mask: Tensor) -> Tensor:
        if self.content is None or not is_image_shape(self.shapes[name]):
            return mask
        top, left, height, width = self.content
        return mask[..., top : top + height, left : left + width]

    def _inside(self, name: str, like: Tensor) -> Tensor | None:
        """1 where a key may be hidden, 0 elsewhere: (H, W), or (); ``None`` for everywhere."""
        if name not in self.covered:
            return torch.zeros((), device=like.device)
        if self.content is None or not is_image_shape(self.shapes[name]):
            return None
        inside = torch.zeros(self.shapes[name][1:], device=like.device)
        self._field(name, inside).fill_(1)
        return inside
