"""What kind of agent was measured, so that pages have the right words for it."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from sb3_explain.agents.observations import find_image
from sb3_explain.states.batch import StateBatch


def describe_kind(batch: StateBatch) -> dict[str, Any]:
    """Describe what an agent observes, and what is measured of its actions.

    :param batch: states of the agent
    :return: ``pictures``, whether it observes some; ``n_features`` of an observation; ``measure``,
        what :meth:`sb3_explain.StateBatch.preference` is
    """
    agent = batch.agent
    if isinstance(agent.action_space, spaces.Box):
        measure = "similarity"
    else:
        measure = "softmax of Q" if agent.view.value_based else "probability"
    return {
        "pictures": find_image(agent) is not None,
        "n_features": batch.observations[0].numel(),
        "measure": measure,
    }
