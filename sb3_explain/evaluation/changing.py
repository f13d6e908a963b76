"""States that change in the order of a map: features, patches or superpixels, and what replaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.envs.spaces import are_images
from sb3_explain.evaluation.imputation import impute_linearly, inpaint
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.evaluation.regions import rank, rank_patches, rank_segments
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import order_pixels, replace_in_order

#: what stands in place of removed features, besides the baseline itself
PERTURB_FUNCS = ("baseline", "inpaint", "noisy_linear")


class Changing(TypedDict, total=False):
    """Options that all metrics have in common whose states change in the order of a map.

    They are those of :func:`change_in_order`, which says what they mean.
    """

    fraction: float
    per_frame: bool
    perturb_func: str
    perturb_baseline: str | None
    patch_size: int
    segmentation_method: str | None
    noise: float


def change_in_order(
    batch: StateBatch,
    baseline: Tensor,
    ordering: Tensor,
    attributions: Tensor | None = None,
    others: OtherStates | None = None,
    *,
    reveal: bool,
    steps: int = 100,
    fraction: float = 1.0,
    per_frame: bool = True,
    perturb_func: str = "baseline",
    perturb_baseline: str | None = None,
    patch_size: int = 1,
    segmentation_method: str | None = None,
    noise: float = 0.01,
) -> Iterator[Tensor]:
    """Make the copies of a curve: after step k, the part round(k * fraction * N / n) has changed.

    :param batch: B states
    :param baseline: (B, ...) what a removed feature becomes
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param attributions: (B, ...) attributions, by which superpixels are ranked
    :param others: who knows other states and baselines of a name
    :param reveal: whether features are revealed, on states of which all is removed; if not, they
        are removed from the states
    :param steps: number of steps, n
    :param fraction: share of the order that changes, in (0, 1]
    :param per_frame: whether features change one by one; if not, a pixel (y, x) of an image changes
        in all frames and channels at once, in the order of its highest feature
    :param perturb_func: what replaces: the ``"baseline"``; ``"inpaint"``, a guess from the
        surroundings; or ``"noisy_linear"``, that of ROAD
    :param perturb_baseline: a baseline in place of the one given, by its name; ``"donor"`` is
        another state
    :param patch_size: height and width of the patch around each cell that changes with it, odd
    :param segmentation_method: superpixels change as a whole, in all frames at once: ``"slic"``,
        ``"felzenszwalb"`` or ``"quickshift"``
    :param noise: standard deviation of the noise of ``"noisy_linear"``, in units of the range
    :return: n + 1 copies (B, ...); each may overwrite the one before
    :raises ExplainError: for options out of range, and for pixels where there is no image
    """
    if perturb_func not in PERTURB_FUNCS:
        raise unknown_name("perturb_func", perturb_func, PERTURB_FUNCS)
    if perturb_baseline is not None:
        if others is None:
            raise ExplainError(
                f"perturb_baseline={perturb_baseline!r} needs the other states: call evaluate, or "
                "give others=OtherStates(...)"
            )
        baseline = others.replace(perturb_baseline, batch)
    seen = batch.observations
    if perturb_func != "baseline" or patch_size != 1 or segmentation_method is not None:
        require_pictures(batch)
    plain = perturb_func == "baseline" and segmentation_method is None
    if segmentation_method is not None:
        if attributions is None:
            raise ExplainError("segmentation_method= ranks superpixels: give attributions=, too")
        ranks = rank_segments(batch.get_relevance(attributions), seen, segmentation_method)
    else:
        ordering = ordering if per_frame else order_pixels(ordering, seen)
        ranks = ordering if plain and patch_size == 1 else rank(ordering)
        if patch_size != 1:
            ranks = rank_patches(ranks.view(len(seen), -1, *seen.shape[2:]), patch_size).flatten(1)
            ordering = ranks.argsort(dim=1)
    if plain:
        start, finish = (baseline, seen) if reveal else (seen, baseline)
        return replace_in_order(start, finish, ordering, steps, fraction)
    return _impute(batch, baseline, ranks, reveal, steps, fraction, perturb_func, noise)


def require_pictures(batch: StateBatch) -> None:
    """Check that there are pixels with neighbors.

    :raises ExplainError: for observations that are no single image
    """
    if not are_images(batch.observations):
        raise ExplainError(
            "patches, superpixels and imputation from the surroundings need a single image, and "
            "these observations are none: use perturb_func='baseline' without regions"
        )


def _impute(
    batch: StateBatch,
    baseline: Tensor,
    ranks: Tensor,
    reveal: bool,
    steps: int,
    fraction: float,
    perturb_func: str,
    noise: float,
) -> Iterator[Tensor]:
    """Copies whose features (B, N) of rank below k * fraction * N / n are removed, or revealed."""
    if steps < 1 or not 0 < fraction <= 1 or noise < 0:
        raise ExplainError(
            f"steps={steps}, fraction={fraction}, noise={noise}: give at least 1 step, a fraction "
            "in (0, 1] and a noise of at least 0"
        )
    seen, n_ranks = batch.observations.float(), ranks.shape[1]
    for k in range(steps + 1):
        changed = (ranks < round(k * fraction * n_ranks / steps)).view(
            len(seen), -1, *seen.shape[2:]
        )
        removed = (~changed if reveal else changed).expand(seen.shape)
        if perturb_func == "inpaint":
            yield inpaint(seen, removed, baseline)
        elif perturb_func == "noisy_linear":
            yield impute_linearly(seen, removed, baseline, noise * batch.get_extent())
        else:
            yield torch.where(removed, baseline, seen)
