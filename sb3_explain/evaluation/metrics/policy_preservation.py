"""Policy preservation: how far is the agent's policy on what a map shows from that on the state?"""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.common.attributions import highest
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.changing import change_in_order
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.others import OtherStates
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import blend_states
from sb3_explain.states.forward_passes import read_blocks


@METRICS.register("policy_preservation")
def policy_preservation(
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
    """Return KL(pi(s) || pi(s')) while features of s' are revealed on the baseline.

    The copies are those of insertion, whose options these are. Low is good: unlike the probability
    of one action, it is not better if the agent becomes surer than on the state.

    :param batch: B states s
    :param baseline: (B, ...) what a feature is before it is revealed
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param attributions: (B, ...) the attributions themselves, for superpixels
    :param others: the other states, for ``perturb_baseline``
    :param steps: number of steps, n
    :param fraction: share of the order that is revealed at the end, in (0, 1]
    :param per_frame: whether features are revealed one by one, or pixels in all frames at once
    :param perturb_func: what replaces a removed feature: the ``"baseline"``; ``"inpaint"``, a guess
        from what is left around it; or ``"noisy_linear"``, that of ROAD (Rong et al. 2022)
    :param perturb_baseline: name of a baseline in place of the one given, which is fitted on the
        evaluated states; ``"donor"`` is another state
    :param patch_size: height and width of the patch around each cell that changes with it, odd
    :param segmentation_method: superpixels change as a whole, in all frames at once, by their mean
        attribution: ``"slic"``, ``"felzenszwalb"`` or ``"quickshift"``
    :param noise: standard deviation of the noise of ``"noisy_linear"``, in units of the range
    :return: (B, n + 1) in nats, at least 0
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
    return read_blocks(batch.divergence, copies)


@METRICS.register("policy_preservation@0.1")
def policy_preservation_at(
    batch: StateBatch, ordering: Tensor, baseline: Tensor, *, share: float = 0.1
) -> Tensor:
    """Return KL(pi(s) || pi(s')), where s' shows the highest features on the baseline alone.

    :param batch: B states s of N features each
    :param ordering: (B, N) features from the highest attribution to the lowest
    :param baseline: (B, ...) what the others become
    :param share: s' shows round(share * N) features, at least one unless the share is 0
    :return: (B,) in nats, at least 0
    :raises ExplainError: for a share outside [0, 1]
    """
    if not 0 <= share <= 1:
        raise ExplainError(f"share={share}: give a share of the features in [0, 1]")
    shown = max(share, 1 / ordering.shape[1]) if share else 0.0
    masks = highest(ordering, shown).view(batch.observations.shape)
    with torch.no_grad():
        return batch.divergence(blend_states(batch, masks, baseline))
