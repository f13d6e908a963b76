"""RISE: which random masks leave the agent its action (Petsiuk et al., BMVC 2018)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import image_keys
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

    The map of a pixel is the mean probability of the target while the pixel is kept. A pixel that
    does not matter has the mean over all masks, not 0: only differences mean something.

    The masks are the same for every state, and every target is explained by the same N forward
    passes for each image that is observed; other keys of a Dict observation get 0. For Box actions
    p is exp(similarity), see :meth:`sb3_explain.states.batch.StateBatch.preferences`, which takes
    one pass more.

    :param agent: with image observations
    :param n_masks: N
    :param cells: h, of a mask of h x h cells before it is enlarged
    :param keep: p1, probability that a cell is kept, in (0, 1)
    :param variant: ``"paper"``; or ``"torchray"``, the port in wide use: the sigmoid of the score
        in place of p, no division by p1, and so almost constant maps
    :param baseline: what a hidden pixel becomes, see :mod:`sb3_explain.states.baselines`; the
        paper's is black
    :param states: states that a baseline given by name is fitted on
    :param seed: of the masks
    :param max_batch_bytes: see :class:`~sb3_explain.explainers.base.Explainer`
    :raises ExplainError: for numbers out of range, an unknown variant or baseline
    """

    name = "rise"
    takes_baseline = True

    def __init__(
        self,
        agent: Agent,
        *,
        n_masks: int = 4000,
        cells: int = 7,
        keep: float = 0.5,
        variant: str = "paper",
        baseline: str | Replacement = "black",
        states: StateDataset | None = None,
        seed: int = 0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if n_masks < 1 or cells < 1 or not 0 < keep < 1:
            raise ExplainError(
                f"n_masks={n_masks}, cells={cells}, keep={keep}: give at least one mask of one "
                "cell, and a probability between 0 and 1"
            )
        if variant not in VARIANTS:
            raise unknown_name("variant of rise", variant, VARIANTS)
        self.n_masks = n_masks
        self.cells = cells
        self.keep = keep
        self.variant = variant
        self.seed = seed
        self.baselines = make_baselines(agent, baseline, states)
        self._drawn: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    unsupported = staticmethod(needs_image)

    @property
    def forwards_per_state(self) -> int:
        own = isinstance(self.agent.action_space, spaces.Box) and self.variant == "paper"
        return self.n_masks * len(image_keys(self.agent)) + own

    def masks(self, image: Tensor, chunk: int) -> Iterator[Tensor]:
        """The masks of images (B, C, H, W), in blocks (n, 1, H, W) of at most ``chunk``.

        Cells are enlarged bilinearly to h + 1 times their size, that of a cell being an h-th of the
        image, rounded up; the image's size is cut out at a random place of the first cell
        (section 3.2).
        """
        height, width = image.shape[2:]
        kept, shifts = (part.to(image.device) for part in self.drawn(height, width))
        rows, columns = (self._enlarging(size).to(image) for size in (height, width))
        along_y = shifts[:, :1] + torch.arange(height, device=image.device)
        along_x = shifts[:, 1:] + torch.arange(width, device=image.device)
        n_blocks = -(-self.n_masks // chunk)
        for cells, y, x in zip(
            kept.to(image).chunk(n_blocks),
            along_y.chunk(n_blocks),
            along_x.chunk(n_blocks),
            strict=True,
        ):
            yield (rows[y] @ cells @ columns[x].transpose(1, 2))[:, None]

    def drawn(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """(N, h, h) cells and (N, 2) shifts, drawn once for each size."""
        if (height, width) not in self._drawn:
            generator = torch.Generator().manual_seed(self.seed)
            shape = (self.n_masks, self.cells, self.cells)
            kept = torch.rand(shape, generator=generator) < self.keep
            sides = torch.tensor([-(-height // self.cells), -(-width // self.cells)])
            places = torch.rand(self.n_masks, 2, generator=generator, dtype=torch.float64)
            self._drawn[height, width] = kept, (places * sides).long()
        return self._drawn[height, width]

    def _enlarging(self, size: int) -> Tensor:
        """((h + 1) * side, h) weight of each cell at each pixel of an enlarged axis."""
        side = -(-size // self.cells)
        identity = torch.eye(self.cells)[None]
        enlarged = functional.interpolate(identity, size=(self.cells + 1) * side, mode="linear")
        return enlarged[0].T

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        states = torch.arange(len(batch), device=batch.device)
        return {key: maps[states, batch.target] for key, maps in self.explain_all(batch).items()}

    def explain_all(self, batch: StateBatch) -> dict[str, Tensor]:
        n_targets = self.agent.n_targets
        images = {n: self._attribute_image(batch, n) for n in batch.images()}
        return {
            name: images[name][:, :, None].expand(-1, -1, *observed.shape[1:2], -1, -1)
            if name in images
            else torch.zeros_like(observed)[:, None].expand(-1, n_targets, *observed.shape[1:])
            for name, observed in batch.by_key.items()
        }

    def _attribute_image(self, batch: StateBatch, name: str) -> Tensor:
        """(B, C, H, W) maps of all targets over one image."""
        image, chunk = batch.by_key[name], self.rows(batch.by_key[name])
        hidden = self.baselines[name](image)
        total = image.new_zeros(len(image), self.agent.n_targets, image[0, 0].numel())
        blends = read_blends(
            lambda copies, states: self._outcomes(batch, {name: copies}, states),
            hidden,
            image - hidden,
            self.masks(image, chunk),
            chunk,
        )
        for masks, told in blends:
            total += told.transpose(1, 2).to(total) @ masks.flatten(1)
        scale = self.n_masks * (self.keep if self.variant == "paper" else 1)
        return (total / scale).view(*total.shape[:2], *image.shape[2:])

    def _outcomes(self, batch: StateBatch, copies: dict[str, Tensor], states: Tensor) -> Tensor:
        """(R, C) p of every target."""
        if self.variant == "paper":
            return batch.preferences(copies, states)
        return batch.target_scores(copies, states).sigmoid()
