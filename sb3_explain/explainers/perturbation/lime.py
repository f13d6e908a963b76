"""LIME: a linear model of the agent around a state (Ribeiro et al., KDD 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from skimage import segmentation
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.envs.spaces import are_images, spaces_by_key
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, read_blends

#: (H, W) gray picture in [0, 1] -> (H, W) integer labels of its superpixels
Segmenter = Callable[[NDArray[Any]], NDArray[Any]]


def felzenszwalb(picture: NDArray[Any]) -> NDArray[Any]:
    """Segment a picture by minimum spanning trees (Felzenszwalb and Huttenlocher, 2004)."""
    labels: NDArray[Any] = segmentation.felzenszwalb(
        picture, scale=21, sigma=0.5, min_size=4, channel_axis=None
    )
    return labels


def slic(picture: NDArray[Any]) -> NDArray[Any]:
    """Segment a picture into about 200 superpixels by k-means (Achanta et al., 2012)."""
    labels: NDArray[Any] = segmentation.slic(
        picture, n_segments=200, compactness=10, sigma=0.25, channel_axis=None
    )
    return labels


def quickshift(picture: NDArray[Any]) -> NDArray[Any]:
    """Segment a picture by mode seeking over at most 2 pixels (Vedaldi and Soatto, 2008)."""
    colors = np.repeat(picture[..., None], 3, axis=2)
    labels: NDArray[Any] = segmentation.quickshift(  # type: ignore[no-untyped-call]
        colors, kernel_size=1, max_dist=2, ratio=0, convert2lab=False
    )
    return labels


#: segmenters for frames of about 84 x 84 pixels; scikit-image's defaults find few segments there
SEGMENTERS: dict[str, Segmenter] = {
    "felzenszwalb": felzenszwalb,
    "slic": slic,
    "quickshift": quickshift,
}


@EXPLAINERS.register("lime")
class Lime(Explainer):
    """Weights of a linear model of p(a|s'), whose inputs are the visible parts of s' (eq. 1).

    The parts z in {0, 1}^M of an image are superpixels of its newest frame (in gray: the mean of
    its channels), which are hidden in all frames of the stack at once; the parts of any other key
    are its features. A copy is s' = r + z * (s - r), where r is the baseline. The first copy is the
    state itself; in the others each part is visible with probability 1/2. The model is a ridge
    regression with an intercept without penalty and with sample weights exp(-d^2 / (2 width^2)),
    where d is the cosine distance of z from all ones (section 3.4, as in the authors' package).

    It explains the probability of the target, or the action itself in a dimension of a Box action,
    or a target that is no action itself.
    One fit explains all targets. It costs ``n_samples`` forward passes for each key of the
    observation, while the other keys stay the same; weights of different keys come from different
    models.

    >>> from sb3_explain import Lime
    >>> explainer = Lime(agent, n_samples=100, states=states)
    >>> explainer.attribute(states.observations([0, 1])).shape
    torch.Size([2, 4])

    :param agent: agent to explain
    :param n_samples: number of copies with the state itself, at least 2
    :param segments: ``"felzenszwalb"``, ``"slic"``, ``"quickshift"``, or a function from a gray
        picture (H, W) in [0, 1] to integer labels (H, W) of its superpixels
    :param width: width of the kernel that weights samples, above 0
    :param alpha: weight of the ridge penalty, above 0
    :param baseline: name of the baseline of hidden parts, see :mod:`sb3_explain.states.baselines`,
        or a function from observations to their replacement; the ``"background"`` of ``states``
        when not given, or black (0) if there are no states
    :param states: states that a baseline given by name is fitted on
    :param seed: random seed of the samples, which are the same for states with equally many parts
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: for numbers out of range, or unknown segments or baseline
    """

    name = "lime"
    of_probability = True
    takes_baseline = True

    def __init__(
        self,
        agent: Agent,
        *,
        n_samples: int = 1000,
        segments: str | Segmenter = "felzenszwalb",
        width: float = 0.25,
        alpha: float = 1.0,
        baseline: str | Replacement | None = None,
        states: StateDataset | None = None,
        seed: int = 0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if n_samples < 2 or not width > 0 or not alpha > 0:
            raise ExplainError(
                f"n_samples={n_samples}, width={width}, alpha={alpha}: give at least two samples "
                "and positive numbers"
            )
        if isinstance(segments, str) and segments not in SEGMENTERS:
            raise unknown_name("segments", segments, SEGMENTERS)
        self.n_samples = n_samples
        self.segmenter = SEGMENTERS[segments] if isinstance(segments, str) else segments
        self.width = width
        self.alpha = alpha
        self.seed = seed
        self.baselines = make_baselines(agent, baseline, states)
        self._spaces = spaces_by_key(agent.observation_space)

    @property
    def forwards_per_state(self) -> int:
        return self.n_samples * len(self._spaces)

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return {name: self._attribution(batch, name) for name in batch.by_key}

    def _attribution(self, batch: StateBatch, name: str) -> Tensor:
        fitted = batch.read_once((self, name), lambda: self._fit(batch, name))
        shape = batch.by_key[name].shape[1:]
        attributions = [
            weights[:, target][parts].expand(shape).to(batch.by_key[name])
            for (parts, weights), target in zip(fitted, batch.target, strict=True)
        ]
        return torch.stack(attributions)

    def _fit(self, batch: StateBatch, name: str) -> list[tuple[Tensor, Tensor]]:
        """For each state the parts of a key, and the weights (M, C) of the linear model.

        The parts are integers from 0 to M - 1 that broadcast to the shape of what is observed.
        """
        observed = batch.by_key[name]
        numbers = torch.arange(len(observed), device=observed.device)
        if are_images(observed):
            parts = [self.find_superpixels(name, state) for state in observed]
            fits = [
                self._fit_alike(batch, name, some, labels)
                for some, labels in zip(torch.split(numbers, 1), parts, strict=True)
            ]
            return [(labels, fit[0]) for labels, fit in zip(parts, fits, strict=True)]
        features = torch.arange(observed[0].numel(), device=observed.device).reshape(
            observed.shape[1:]
        )
        return [(features, fit) for fit in self._fit_alike(batch, name, numbers, features)]

    def _fit_alike(self, batch: StateBatch, name: str, some: Tensor, parts: Tensor) -> Tensor:
        """Weights (n, M, C) of some states that have the same parts."""
        chunk = self.rows(batch.by_key[name])
        state = batch.by_key[name][some]
        hidden = self.baselines[name](batch.by_key[name])[some]
        samples = self.draw_samples(int(parts.max()) + 1).to(state)

        def present() -> Iterator[Tensor]:
            for block in samples.chunk(-(-len(samples) // chunk)):
                yield block.index_select(1, parts.flatten()).view(-1, *parts.shape)

        blends = read_blends(
            lambda copies, states: self._read_outcomes(batch, {name: copies}, some[states]),
            hidden,
            state - hidden,
            present(),
            chunk,
        )
        outcomes = torch.cat([read for _, read in blends], dim=1)
        return fit_weighted_ridge(
            samples, outcomes.transpose(0, 1), self.weigh_samples(samples), self.alpha
        )

    def _read_outcomes(
        self, batch: StateBatch, copies: dict[str, Tensor], states: Tensor
    ) -> Tensor:
        """What is explained (R, C) of every target: probabilities, or Box actions."""
        if batch.scalar is not None or isinstance(self.agent.action_space, spaces.Box):
            return batch.target_scores(copies, states)
        return batch.preferences(copies, states)

    def draw_samples(self, n_parts: int) -> Tensor:
        """Draw which parts of each copy are visible: (n_samples, M) of 0 and 1; first all parts."""
        generator = torch.Generator().manual_seed(self.seed)
        samples = torch.randint(0, 2, (self.n_samples, n_parts), generator=generator)
        samples[0] = 1
        return samples

    def weigh_samples(self, samples: Tensor) -> Tensor:
        """Compute the weights (n_samples,) in float64: copies nearer to the state have more.

        :param samples: (n_samples, M) visible parts, as :meth:`draw_samples` returns them
        """
        # |z| |1| is sqrt(k M) for k parts of M, and their product k
        cosine = samples.double().mean(dim=1).sqrt()
        return torch.exp(-0.5 * ((1 - cosine) / self.width) ** 2)

    def find_superpixels(self, name: str, state: Tensor) -> Tensor:
        """Find the superpixels of an image's newest frame.

        :param name: key of the image
        :param state: (C, H, W) image
        :return: (1, H, W) labels 0, 1, ...
        """
        n_channels = max(1, len(state) // self.agent.n_stack)
        gray = state[-n_channels:].float().mean(dim=0)
        space = self._spaces[name]
        # the bounds of bits are 0 and 1
        low, high = (
            float(np.min(getattr(space, "low", 0))),
            float(np.max(getattr(space, "high", 1))),
        )
        if not np.isfinite(high - low):
            low, high = float(gray.min()), float(gray.max())
        picture = ((gray - low) / max(high - low, 1e-12)).clamp(0, 1).cpu().double().numpy()
        labels = np.unique(self.segmenter(picture), return_inverse=True)[1]
        return torch.from_numpy(labels.reshape(1, *picture.shape)).to(state.device)


def fit_weighted_ridge(samples: Tensor, outcomes: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Minimize sum_i weight_i (outcome_i - z_i w - b)^2 + alpha ||w||^2 over w and b, in float64.

    :param samples: (n, M) inputs z
    :param outcomes: (n, ..., C) outcomes
    :param weights: (n,) weights of the samples
    :param alpha: weight of the penalty, above 0
    :return: (..., M, C) weights w of the linear model
    """
    z, y = samples.double(), outcomes.double()
    share = (weights / weights.sum())[:, None]
    # the intercept is 0 once the means are subtracted
    z = z - (share * z).sum(dim=0)
    y = y.flatten(1) - (share * y.flatten(1)).sum(dim=0)
    root = weights[:, None].sqrt()
    z, y = root * z, root * y
    w: Tensor
    if z.shape[0] < z.shape[1]:  # the same weights from a system of n unknowns in place of M
        w = z.T @ torch.linalg.solve(z @ z.T + alpha * torch.eye(len(z)).to(z), y)
    else:
        w = torch.linalg.solve(z.T @ z + alpha * torch.eye(z.shape[1]).to(z), z.T @ y)
    return w.view(-1, *outcomes.shape[1:]).movedim(0, -2)
