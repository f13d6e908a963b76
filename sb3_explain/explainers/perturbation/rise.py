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
from sb3_explain.common.reliability import bound_reliability
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.requirements import needs_image
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, read_blends

VARIANTS = ("paper", "centered", "torchray")
#: masks between two looks at how reliable the map is
CHECK_EVERY = 250


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

    With a ``reliability``, a state is done once its map is known that well: the masks are split in
    two halves, of which every other block of masks is one, and the rank correlation of the halves'
    maps says how well the map of both would agree with that of as many other masks (see
    :func:`~sb3_explain.common.reliability.bound_reliability`). :meth:`attribute` waits for the map
    of the target, :meth:`attribute_all` for those of all targets.

    >>> from sb3_explain import Rise
    >>> explainer = Rise(image_agent, n_masks=100)
    >>> explainer.attribute_all(image_states.observations([0, 1])).shape  # 3 actions
    torch.Size([2, 3, 2, 24, 24])

    :param agent: agent that observes images
    :param n_masks: number of masks N, the most that a state gets with a ``reliability``
    :param grid: h; masks are drawn on a grid of h x h and enlarged to the image
    :param keep: probability p1 that a point of the grid is visible, in (0, 1)
    :param variant: ``"paper"``; ``"centered"`` for p less its mean over the masks, which has less
        noise, since a pixel gets nothing for how often it was visible, and gives a pixel that does
        not matter 0; or ``"torchray"`` for the formula of a widely used port: the sigmoid of the
        score instead of p and no division by p1, so that the attributions are almost constant
    :param baseline: name of the baseline of hidden pixels, see
        :mod:`sb3_explain.states.baselines`, or a function from observations to their replacement;
        the paper's is black
    :param states: states that a baseline given by name is fitted on
    :param seed: random seed of the masks
    :param reliability: a state gets no more masks once the reliability of its map is at least this,
        in (0, 1), with a confidence of 95 %; all ``n_masks`` when not given
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
        reliability: float | None = None,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if n_masks < 1 or grid < 1 or not 0 < keep < 1:
            raise ExplainError(
                f"n_masks={n_masks}, grid={grid}, keep={keep}: give at least one mask on a grid of "
                "at least 1, and a probability between 0 and 1"
            )
        if reliability is not None and not (0 < reliability < 1 and grid > 1):
            raise ExplainError(
                f"reliability={reliability}, grid={grid}: give a reliability between 0 and 1, and "
                "a grid of at least 2"
            )
        if variant not in VARIANTS:
            raise unknown_name("variant of rise", variant, VARIANTS)
        self.n_masks = n_masks
        self.grid = grid
        self.keep = keep
        self.variant = variant
        self.of_probability = variant != "torchray"
        self.seed = seed
        self.reliability = reliability
        self.baselines = make_baselines(agent, baseline, states)
        self._drawn: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    unsupported = staticmethod(needs_image)

    @property
    def left_out(self) -> Collection[str]:
        return find_feature_keys(self.agent)

    @property
    def forwards_per_state(self) -> int:
        own = isinstance(self.agent.action_space, spaces.Box) and self.of_probability
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
        every = self._explain(batch, batch.target[:, None])
        return {key: a[states, batch.target] for key, a in every.items()}

    def explain_all(self, batch: StateBatch) -> dict[str, Tensor]:
        targets = torch.arange(self.agent.n_targets if batch.scalar is None else 1)
        return self._explain(batch, targets.expand(len(batch), -1))

    def _explain(self, batch: StateBatch, awaited: Tensor) -> dict[str, Tensor]:
        """Attributions of all C targets, those ``awaited`` (B, c) as reliable as asked for."""
        n_targets = self.agent.n_targets if batch.scalar is None else 1
        images = {n: self._attribute_image(batch, n, awaited) for n in batch.images()}
        return {
            name: images[name][:, :, None].expand(-1, -1, *observed.shape[1:2], -1, -1)
            if name in images
            else torch.zeros_like(observed)[:, None].expand(-1, n_targets, *observed.shape[1:])
            for name, observed in batch.by_key.items()
        }

    def _attribute_image(self, batch: StateBatch, name: str, awaited: Tensor) -> Tensor:
        """Attributions (B, C, H, W) of all C targets for one image."""
        image, chunk = batch.by_key[name], self.rows(batch.by_key[name])
        hidden = self.baselines[name](image)
        own = None if batch.scalar is None else batch.own_target_scores
        # hiding alone moves a quantity, too
        centered = own is not None or self.variant == "centered"
        keep = 1.0 if self.variant == "torchray" else self.keep
        n_targets = self.agent.n_targets if batch.scalar is None else 1
        numbers, attributions = torch.arange(len(image), device=image.device), []
        # a state that may stop before the others is by itself
        for some in torch.split(numbers, len(image) if self.reliability is None else 1):

            def read(copies: Tensor, states: Tensor, some: Tensor = some) -> Tensor:
                return self._read_outcomes(batch, {name: copies}, some[states], own)

            blends = read_blends(
                read,
                hidden[some],
                image[some] - hidden[some],
                self.make_masks(image, chunk),
                chunk,
            )
            whole, *halves = (MaskSums(len(some), n_targets, image) for _ in range(3))
            n_checked = 0
            for n_block, (masks, outcomes) in enumerate(blends):
                whole.add(masks, outcomes)
                if self.reliability is None:
                    continue
                halves[n_block % 2].add(masks, outcomes)
                if n_block % 2 and whole.n_masks - n_checked >= CHECK_EVERY:
                    n_checked = whole.n_masks
                    first, second = (half.attribute(keep, centered)[0] for half in halves)
                    if self._find_least(first, second, awaited[some[0]]) >= self.reliability:
                        break
            attributions.append(whole.attribute(keep, centered))
        return torch.cat(attributions).view(len(image), n_targets, *image.shape[2:])

    def _find_least(self, first: Tensor, second: Tensor, awaited: Tensor) -> float:
        """Least reliability of the awaited targets' maps, from the halves' maps (C, P) of all."""
        pairs = (
            (first[target].cpu().double().numpy(), second[target].cpu().double().numpy())
            for target in awaited.tolist()
        )
        return min(bound_reliability(*pair, self.grid**2) for pair in pairs)

    def _read_outcomes(
        self, batch: StateBatch, copies: dict[str, Tensor], states: Tensor, own: Tensor | None
    ) -> Tensor:
        """Outcomes p (R, C) of every target; the change from its ``own`` of a scalar target."""
        if own is not None:
            return batch.target_scores(copies, states) - own[states]
        if self.of_probability:
            return batch.preferences(copies, states)
        return batch.target_scores(copies, states).sigmoid()


class MaskSums:
    """What some masks m_i add up to, for n states and C targets with the outcomes p_i.

    :param n_states: number of states n
    :param n_targets: number of targets C
    :param image: (B, C, H, W) images, of whose size, type and device the sums are
    """

    def __init__(self, n_states: int, n_targets: int, image: Tensor) -> None:
        self.n_masks = 0
        #: (n, C, H * W) sum_i p_i m_i, (H * W,) sum_i m_i and (n, C) sum_i p_i
        self.weighted = image.new_zeros(n_states, n_targets, image[0, 0].numel())
        self.visible = self.weighted.new_zeros(self.weighted.shape[2])
        self.outcomes = self.weighted.new_zeros(self.weighted.shape[:2])

    def add(self, masks: Tensor, outcomes: Tensor) -> None:
        """Add masks (p, 1, H, W) and their outcomes (n, p, C)."""
        self.n_masks += len(masks)
        self.weighted += outcomes.transpose(1, 2).to(self.weighted) @ masks.flatten(1)
        self.visible += masks.flatten(1).sum(dim=0)
        self.outcomes += outcomes.sum(dim=1).to(self.weighted)

    def attribute(self, keep: float, centered: bool) -> Tensor:
        """Compute sum_i p_i m_i / (N p1), or sum_i (p_i - mean p) m_i / (N p1): (n, C, H * W)."""
        weighted = self.weighted
        if centered:
            weighted = weighted - self.outcomes[..., None] / self.n_masks * self.visible
        return weighted / (self.n_masks * keep)
