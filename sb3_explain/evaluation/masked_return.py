"""Masked return: how well does the agent play when it sees only what the masks show?

The test of SSINet (Shi et al. 2020). Masks decide here which states the agent comes to, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sb3_explain.common.attributions import highest, order
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import apply_baselines, blend_states
from sb3_explain.states.play import PLAY_ARGUMENTS, Played, play_transformed, show_everything


@check_arguments
def masked_return(
    explainer: Explainer,
    n_episodes: int = 20,
    *,
    share: float | None = None,
    baselines: Mapping[str, Baseline] | None = None,
    **play_kwargs: Any,
) -> Played:
    """Measure the return of an agent that sees s * m + r * (1 - m) in place of an observation s.

    m is the explainer's mask of what the agent would do if it saw everything. Beside this
    (``"masked"``) stand the return of the agent that sees everything (``"full"``) and that of the
    agent that sees the baseline r alone (``"empty"``).

    >>> from sb3_explain import Gradient, fit_baselines, masked_return
    >>> options = {"share": 0.5, "baselines": fit_baselines("mean", states), "progress": False}
    >>> result = masked_return(Gradient(agent), n_episodes=2, **options)
    >>> list(result.intervals)
    ['full', 'masked', 'empty']

    :param explainer: an explainer that is ready to explain; its agent plays
    :param n_episodes: number of episodes of each of the three
    :param share: share of the features, in [0, 1], that m shows: those of the highest attribution.
        When not given, m is the explainer's mask as it is
    :param baselines: r by key, see :func:`sb3_explain.fit_baselines`; the explainer's own when not
        given
    :param play_kwargs: further arguments of :func:`sb3_explain.states.play.play_transformed`
    :return: returns and lengths of all episodes, mean returns with intervals, and their table
    :raises ExplainError: if the explainer gives no masks and no share, or has no baseline, or the
        environment is unknown
    """
    require_known("argument of masked_return", play_kwargs, PLAY_ARGUMENTS | {"baselines", "share"})
    baselines = explainer.baselines if baselines is None else baselines
    if isinstance(explainer, FittedExplainer):
        explainer.require_fitted()
    if share is None and not explainer.gives_masks:
        raise ExplainError(
            f"{explainer.name} gives no masks: give the share of the features to show"
        )
    if not baselines:
        raise ExplainError(
            f"{explainer.name} has no baseline: give baselines=fit_baselines('background', states)"
        )
    if not 0 <= (share or 0) <= 1:
        raise ExplainError(f"share={share}: give a share in [0, 1]")

    def masked(batch: StateBatch) -> Tensor:
        attributions = batch.flatten_keys(explainer.attribute_batch(batch))
        if share is None:
            masks = explainer.to_masks(attributions)
        else:
            masks = highest(order(batch.get_relevance(attributions)), share).view(
                attributions.shape
            )
        return blend_states(batch, masks, apply_baselines(baselines, batch))

    transforms = {
        "full": show_everything,
        "masked": masked,
        "empty": lambda batch: apply_baselines(baselines, batch),
    }
    return play_transformed(
        explainer.agent, transforms, n_episodes, title="masked return", **play_kwargs
    )
