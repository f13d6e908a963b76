"""Deletion: how soon does the agent lose its action as the most important features disappear?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.changing import change_in_order
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks


@METRICS.register("deletion")
def deletion(
    batch: StateBatch,
    baseline: Tensor,
    ordering: Tensor,
    attributions: Tensor | None = None,
    others: OtherStates | None = None,
    *,
    steps: int = 100,
    fraction: float = 1.0,
    per_frame: bool = True,
    perturb_func: str = "baseline",
    perturb_baseline: str | None = None,
    patch_size: int = 1,
    segmentation_method: str | None = None,
    noise: float = 0.01,
) -> Tensor:
    """Return the target action's probability while features turn into the baseline.

    The curve of RISE (Petsiuk et al. 2018, section 4.2). Low is good.

    :param batch: B states
    :param baseline: (B, ...) what a removed feature becomes
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param attributions: (B, ...) the attributions themselves, for superpixels
    :param others: the other states, for ``perturb_baseline``
    :param steps: number of steps, n; after step k, the features of rank below
        round(k * fraction * N / n) are removed
    :param fraction: share of the order that is removed at the end, in (0, 1]
    :param per_frame: whether features are removed one by one; if not, a pixel (y, x) of an image
        is removed from all frames and channels at once, in the order of its highest feature
    :param perturb_func: what replaces a removed feature: the ``"baseline"``; ``"inpaint"``, a guess
        from what is left around it; or ``"noisy_linear"``, that of ROAD (Rong et al. 2022)
    :param perturb_baseline: name of a baseline in place of the one given, which is fitted on the
        evaluated states; ``"donor"`` is another state
    :param patch_size: height and width of the patch around each cell that changes with it, odd
    :param segmentation_method: superpixels change as a whole, in all frames at once, by their mean
        attribution: ``"slic"``, ``"felzenszwalb"`` or ``"quickshift"``
    :param noise: standard deviation of the noise of ``"noisy_linear"``, in units of the range
    :return: (B, n + 1) probabilities, in [0, 1]
    :raises ExplainError: for options out of range, and pixels where there is no image
    """
    copies = change_in_order(
        batch,
        baseline,
        ordering,
        attributions,
        others,
        reveal=False,
        steps=steps,
        fraction=fraction,
        per_frame=per_frame,
        perturb_func=perturb_func,
        perturb_baseline=perturb_baseline,
        patch_size=patch_size,
        segmentation_method=segmentation_method,
        noise=noise,
    )
    return read_blocks(batch.preference, copies)
