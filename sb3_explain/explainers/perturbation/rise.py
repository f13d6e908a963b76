"""RISE: which random masks preserve the agent's action (Petsiuk et al., BMVC 2018)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys, find_image_keys
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.requirements import needs_image
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, read_blends

VARIANTS = ("paper", "torchray")


@EXPLAINERS.register("rise")
class Rise(Explainer):
    """sum_i p(a | s * m_i) m_i / (N p1) over N random masks m_i (Petsiuk et al., 2018, eq. 6).

    The attribution of a pixel is the mean probability of the target while the pixel is visible. A
    pixel that does not matter has the mean over all masks, not 0: only differences are meaningful.

    The masks are the same for every state, and the same N forward passes for each image explain
    every target; other keys of a Dict observation get 0. For Box actions p is exp(similarity), see
    :meth:`sb3_explain.StateBatch.preferences`. For a target that is no action, such as the value or
    a contrast of two actions, p is its change from the state less the mean change over the masks:
    then a pixel that does not matter has 0, and the sign says whether a visible pixel raises the
    target or lowers it. Both cost one more forward pass.

    >>> from sb3_explain import Rise
    >>> explainer = Rise(image_agent, n_masks=100)
    >>> explainer.attribute_all(image_states.observations([0, 1])).shape  # 3 actions
    torch.Size([2, 3, 2, 24, 24])

    :param agent: agent that observes images
    :param n_masks: number of masks N
    :param grid: h; masks are drawn on a grid of h x h and enlarged to the image
    :param keep: probability p1 that a point of the grid is visible, in (0, 1)
    :param variant: ``"paper"``, or ``"torchray"`` for the formula of a widely used port: the
        sigmoid of the score instead of p and no division by p1, so that the attributions are almost
        constant
    :param baseline: name of the baseline of hidden pixels, see
        :mod:`sb3_explain.states.baselines`, or a function from observations to their replacement;
        the paper's is black
    :param states: states that a baseline given by name is fitted on
    :param seed: random seed of the masks
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: for numbers out of range, or an unknown variant or baseline
    """

    name = "rise"
    of_probability = True
    takes_baseline = True

    def __init__(
        self,
        agent: Agent,
        *,
        n_masks: int = 4000,
        grid: int = 7,
        keep: float = 0.5,
        variant: str = "paper",
        baseline: str | Replacement = "black",
        states: StateDataset | None = None,
        seed: int = 0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if n_masks < 1 or grid < 1 or not 0 < keep < 1:
            raise ExplainError(
                f"n_masks={n_masks}, grid={grid}, keep={keep}: give at least one mask on a grid of "
                "at least 1, and a probability between 0 and 1"
            )
        if variant not in VARIANTS:
            raise unknown_name("variant of rise", variant, VARIANTS)
        self.n_masks = n_masks
        self.grid = grid
        self.keep = keep
        self.variant = variant
        self.of_probability = variant == "paper"
        self.seed = seed
        self.baselines = make_baselines(agent, baseline, states)
        self._drawn: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    unsupported = staticmethod(needs_image)

    @property
    def left_out(self) -> Collection[str]:
        return find_feature_keys(self.agent)

    @property
    def forwards_per_state(self) -> int:
        own = isinstance(self.agent.action_space, spaces.Box) and self.variant == "paper"
        return self.n_masks * len(find_image_keys(self.agent)) + own

    def make_masks(self, image: Tensor, chunk: int) -> Iterator[Tensor]:
        """Make the masks of images.

        A grid is enlarged bilinearly to (h + 1) * side pixels a side, where side is an h-th of the
        image, rounded up; the image's size is cut out at a random shift below side (section 3.2).

        :param image: (B, C, H, W) images
        :param chunk: largest number of masks in a block
        :return: blocks (n, 1, H, W) of N masks altogether
        """
        height, width = image.shape[2:]
        grids, shifts = (part.to(image.device) for part in self.draw_grids(height, width))
        rows, columns = (self._enlarging(size).to(image) for size in (height, width))
        along_y = shifts[:, :1] + torch.arange(height, device=image.device)
        along_x = shifts[:, 1:] + torch.arange(width, device=image.device)
        n_blocks = -(-self.n_masks // chunk)
        for block, y, x in zip(
            grids.to(image).chunk(n_blocks),
            along_y.chunk(n_blocks),
            along_x.chunk(n_blocks),
            strict=True,
        ):
            yield (rows[y] @ block @ columns[x].transpose(1, 2))[:, None]

    def draw_grids(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Draw the grids (N, h, h) and their shifts (N, 2), once for each image size."""
        if (height, width) not in self._drawn:
            generator = torch.Generator().manual_seed(self.seed)
            shape = (self.n_masks, self.grid, self.grid)
            grids = torch.rand(shape, generator=generator) < self.keep
            sides = torch.tensor([-(-height // self.grid), -(-width // self.grid)])
            places = torch.rand(self.n_masks, 2, generator=generator, dtype=torch.float64)
            self._drawn[height, width] = grids, (places * sides).long()
        return self._drawn[height, width]

    def _enlarging(self, size: int) -> Tensor:
        """Weights ((h + 1) * side, h) of each grid point at each pixel of an enlarged axis."""
        side = -(-size // self.grid)
        identity = torch.eye(self.grid)[None]
        enlarged = functional.interpolate(identity, size=(self.grid + 1) * side, mode="linear")
        return enlarged[0].T

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        states = torch.arange(len(batch), device=batch.device)
        return {key: a[states, batch.target] for key, a in self.explain_all(batch).items()}

    def explain_all(self, batch: StateBatch) -> dict[str, Tensor]:
        n_targets = self.agent.n_targets if batch.scalar is None else 1
        images = {n: self._attribute_image(batch, n) for n in batch.images()}
        return {
            name: images[name][:, :, None].expand(-1, -1, *observed.shape[1:2], -1, -1)
            if name in images
            else torch.zeros_like(observed)[:, None].expand(-1, n_targets, *observed.shape[1:])
            for name, observed in batch.by_key.items()
        }

    def _attribute_image(self, batch: StateBatch, name: str) -> Tensor:
        """Attributions (B, C, H, W) of all C targets for one image."""
        image, chunk = batch.by_key[name], self.rows(batch.by_key[name])
        hidden = self.baselines[name](image)
        n_targets = self.agent.n_targets if batch.scalar is None else 1
        total = image.new_zeros(len(image), n_targets, image[0, 0].numel())
        visible, changes = total.new_zeros(total.shape[2]), total.new_zeros(total.shape[:2])
        own = None if batch.scalar is None else batch.own_target_scores
        blends = read_blends(
            lambda copies, states: self._read_outcomes(batch, {name: copies}, states, own),
            hidden,
            image - hidden,
            self.make_masks(image, chunk),
            chunk,
        )
        for masks, outcomes in blends:
            total += outcomes.transpose(1, 2).to(total) @ masks.flatten(1)
            visible += masks.flatten(1).sum(dim=0)
            changes += outcomes.sum(dim=1).to(total)
        if own is not None:  # sum_i (p_i - mean p) m_i: hiding alone moves a quantity, too
            total -= changes[..., None] / self.n_masks * visible
        scale = self.n_masks * (self.keep if self.variant == "paper" else 1)
        return (total / scale).view(*total.shape[:2], *image.shape[2:])

    def _read_outcomes(
        self, batch: StateBatch, copies: dict[str, Tensor], states: Tensor, own: Tensor | None
    ) -> Tensor:
        """Outcomes p (R, C) of every target; the change from its ``own`` of a scalar target."""
        if own is not None:
            return batch.target_scores(copies, states) - own[states]
        if self.variant == "paper":
            return batch.preferences(copies, states)
        return batch.target_scores(copies, states).sigmoid()
