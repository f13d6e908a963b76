"""Insertion: how soon does the agent choose its action as the most important features appear?"""

from __future__ import annotations

from torch import Tensor

from sb3_explain.evaluation.changing import change_in_order
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.others import OtherStates, own_preference
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks


@METRICS.register("insertion")
def insertion(
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
    cap: bool = False,
) -> Tensor:
    """Return the target action's probability while features are revealed on the baseline.

    The curve of RISE (Petsiuk et al. 2018, section 4.2). High is good.

    :param batch: B states
    :param baseline: (B, ...) what a feature is before it is revealed
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param attributions: (B, ...) the attributions themselves, for superpixels
    :param others: the other states, for ``perturb_baseline``
    :param steps: number of steps, n; after step k, the features of rank below
        round(k * fraction * N / n) are revealed
    :param fraction: share of the order that is revealed at the end, in (0, 1]
    :param per_frame: whether features are revealed one by one; if not, a pixel (y, x) of an image
        is revealed in all frames and channels at once, in the order of its highest feature
    :param perturb_func: what replaces a removed feature: the ``"baseline"``; ``"inpaint"``, a guess
        from what is left around it; or ``"noisy_linear"``, that of ROAD (Rong et al. 2022)
    :param perturb_baseline: name of a baseline in place of the one given, which is fitted on the
        evaluated states; ``"donor"`` is another state
    :param patch_size: height and width of the patch around each cell that changes with it, odd
    :param segmentation_method: superpixels change as a whole, in all frames at once, by their mean
        attribution: ``"slic"``, ``"felzenszwalb"`` or ``"quickshift"``
    :param noise: standard deviation of the noise of ``"noisy_linear"``, in units of the range
    :param cap: whether a probability above that of the state itself counts as that one
    :return: (B, n + 1) probabilities, in [0, 1]
    :raises ExplainError: for options out of range, and pixels where there is no image
    """
    copies = change_in_order(
        batch,
        baseline,
        ordering,
        attributions,
        others,
        reveal=True,
        steps=steps,
        fraction=fraction,
        per_frame=per_frame,
        perturb_func=perturb_func,
        perturb_baseline=perturb_baseline,
        patch_size=patch_size,
        segmentation_method=segmentation_method,
        noise=noise,
    )
    curves = read_blocks(batch.preference, copies)
    return curves.minimum(own_preference(batch)[:, None]) if cap else curves
