"""Forced action: does the map of an action that the agent would not take make the agent take it?"""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.action_spaces import group_numbers
from sb3_explain.common.attributions import highest, order
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.blends import blend_states


@METRICS.register("forced_action")
def forced_action(
    batch: StateBatch,
    explainer: Explainer,
    baseline: Tensor,
    ordering: Tensor,
    rng: np.random.Generator,
    *,
    share: float = 0.1,
    rank: int | None = None,
) -> Tensor:
    """Return whether the highest features of another action's map make that action greedy.

    A map of what the agent does not do shows evidence that is not there, so that low is good: a map
    that forces an action paints it.

    :param batch: B states
    :param explainer: who explains the other action
    :param baseline: (B, ...) what the other features become
    :param ordering: (B, N) order of the features, an input so that only maps that order them are
        measured
    :param rng: source of the other action, drawn state by state
    :param share: share of the features that is shown, at least one unless the share is 0
    :param rank: rank of the other action in the agent's preference, from 2 for the second best to
        the number of actions; one of them at random when not given
    :return: (B,), 1 where the other action becomes greedy and 0 where it does not; NaN for Box
        actions, and where there is no other or the explainer does not know it
    :raises ExplainError: for a share or a rank out of range
    """
    if not 0 <= share <= 1 or (rank is not None and rank < 2):
        raise ExplainError(
            f"share={share}, rank={rank}: give a share of the features in [0, 1], and a rank from 2"
        )
    del ordering
    absent = torch.full((len(batch),), torch.nan, device=batch.device)
    space = batch.agent.action_space
    if isinstance(space, spaces.Box):
        return absent
    numbers = group_numbers(space).to(batch.device)
    alike = numbers == numbers[batch.target][:, None]
    own = batch.own_target_scores.masked_fill(~alike, -torch.inf)
    possible = own > -1e6  # an action mask takes the others
    best_first = own.argsort(dim=1, descending=True)
    others = torch.zeros_like(batch.target)
    exists = torch.zeros_like(batch.target, dtype=torch.bool)
    for i in range(len(batch)):
        n_actions = int(possible[i].sum())
        drawn = rank if rank is not None else 2 + int(rng.random() * max(n_actions - 1, 1))
        others[i] = best_first[i, min(drawn, n_actions) - 1]
        exists[i] = drawn <= n_actions and int(others[i]) not in explainer.unknown_targets
    others = torch.where(exists, others, batch.target)
    asked = batch.with_target(others)
    attributions = batch.flatten_keys(explainer.attribute_batch(asked))
    shown = highest(order(batch.get_relevance(attributions)), share).view(batch.observations.shape)
    with torch.no_grad():
        forced = asked.keeps(blend_states(batch, shown, baseline)).float()
    return torch.where(exists, forced, absent)
