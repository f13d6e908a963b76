"""Occlusion: how much the score falls when a patch is replaced (Zeiler and Fergus, 2014)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys, find_image_keys
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.requirements import needs_image
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import (
    MAX_BATCH_BYTES,
    attribute_images,
    make_grid_masks,
    read_blends,
)


@EXPLAINERS.register("occlusion")
class Occlusion(Explainer):
    """The score of the target less its score without a patch, which slides over the image.

    The patch covers all channels of the stack. Where patches overlap, a pixel gets the mean of
    those that cover it; the last patch of an axis is cut off by the edge. Captum does the same.

    For each image it costs one forward pass for each place of the patch, and one more; other keys
    of a Dict observation get 0.

    >>> from sb3_explain import Occlusion
    >>> explainer = Occlusion(image_agent, patch=4, stride=4)
    >>> attributions = explainer.attribute(image_states.observations([0, 1]))
    >>> attributions.shape, explainer.forwards_per_state
    (torch.Size([2, 2, 24, 24]), 37)

    :param agent: agent that observes images
    :param patch: side of the patch in pixels
    :param stride: distance from one place to the next in pixels, at most ``patch``
    :param baseline: name of the baseline that replaces the patch, see
        :mod:`sb3_explain.states.baselines`, or a function from observations to their replacement
    :param states: states that a baseline given by name is fitted on
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: for a stride that would leave pixels out, or an unknown baseline
    """

    name = "occlusion"
    takes_baseline = True

    def __init__(
        self,
        agent: Agent,
        *,
        patch: int = 5,
        stride: int = 5,
        baseline: str | Replacement = "black",
        states: StateDataset | None = None,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if not 1 <= stride <= patch:
            raise ExplainError(
                f"patch={patch}, stride={stride}: the stride is at least 1 and at most the patch"
            )
        self.patch = patch
        self.stride = stride
        self.baselines = make_baselines(agent, baseline, states)

    unsupported = staticmethod(needs_image)

    @property
    def left_out(self) -> Collection[str]:
        return find_feature_keys(self.agent)

    @property
    def forwards_per_state(self) -> int:
        shapes = find_image_keys(self.agent).values()
        return sum(
            1 + len(self._places(shape[1])) * len(self._places(shape[2])) for shape in shapes
        )

    def _places(self, size: int) -> range:
        """First pixels of the patches along an axis, which cover all of it."""
        n_steps = -(-max(size - self.patch, 0) // self.stride)
        return range(0, n_steps * self.stride + 1, self.stride)

    def _covered(self, like: Tensor, size: int) -> Tensor:
        """Whether each patch covers each pixel of an axis: (n, size) of 1 and 0."""
        pixels = torch.arange(size, device=like.device)
        first = torch.tensor(self._places(size), device=like.device)[:, None]
        return ((first <= pixels) & (pixels < first + self.patch)).to(like)

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return attribute_images(batch, lambda name, image: self._attribution(batch, name, image))

    def _attribution(self, batch: StateBatch, name: str, image: Tensor) -> Tensor:
        rows, columns = (self._covered(image, size) for size in image.shape[2:])
        scores = batch.read_once((self, name), lambda: self._scores(batch, name, rows, columns))
        scores = scores[torch.arange(len(batch)), :, batch.target]
        fall = (scores[:, :1] - scores[:, 1:]).to(image).view(-1, len(rows), len(columns))
        covering = rows.sum(dim=0)[:, None] * columns.sum(dim=0)
        attributions: Tensor = rows.T @ fall @ columns / covering
        return attributions[:, None].expand_as(image)

    def _scores(self, batch: StateBatch, name: str, rows: Tensor, columns: Tensor) -> Tensor:
        """Target scores (B, 1 + P, C) of the states, and of their copies without each patch."""
        image, chunk = batch.by_key[name], self.rows(batch.by_key[name])
        blends = read_blends(
            lambda copies, states: batch.target_scores({name: copies}, states),
            image,
            self.baselines[name](image) - image,
            make_grid_masks(rows, columns, chunk),
            chunk,
        )
        return torch.cat([scores for _, scores in blends], dim=1)
