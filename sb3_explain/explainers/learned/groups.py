"""The greedy target of each sub-action, for losses that compare targets within one."""

from __future__ import annotations

from itertools import accumulate

from torch import Tensor

from sb3_explain.agents.action_spaces import greedy_targets, group_sizes
from sb3_explain.states.batch import StateBatch


def find_groups(batch: StateBatch) -> list[tuple[slice, Tensor]]:
    """Find the greedy target of each sub-action.

    :param batch: the states
    :return: for each sub-action the slice of its targets, and (B,) index of the greedy one within
        the slice
    """
    space = batch.agent.action_space
    sizes = group_sizes(space)
    stops = list(accumulate(sizes))
    places = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
    if len(places) == 1:
        return [(places[0], batch.target)]
    chosen = greedy_targets(space, batch.own_target_scores)
    return [(own, chosen[:, own].long().argmax(dim=1)) for own in places]
