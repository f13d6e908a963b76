"""Whether a batch of observations fits what a policy observes."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations


def require_fit(observations: Observations, space: spaces.Space[Any]) -> None:
    """Check that observations have the keys and shapes of an observation space.

    :param observations: (B, ...) tensor, or a dict of such tensors
    :param space: observation space of the policy
    :raises ExplainError: if the observations do not fit the space
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observations, dict) or set(observations) != set(space.spaces):
            raise ExplainError(
                f"this agent observes a dict of {sorted(space.spaces)}: give a dict of "
                "batch-first tensors with these keys"
            )
        shapes = {key: (observations[key].shape, observed) for key, observed in space.items()}
    else:
        if not isinstance(observations, Tensor):
            raise ExplainError("observations must be one batch-first tensor: see Agent.tensor")
        shapes = {"observations": (observations.shape, space)}
    for key, (shape, observed) in shapes.items():
        if tuple(shape[1:]) != observed.shape:
            raise ExplainError(
                f"{key} of shape {tuple(shape)} do not fit this agent: it takes "
                f"(batch, {', '.join(map(str, observed.shape or ()))})"
                + (", channel-first" if len(observed.shape or ()) == 3 else "")
            )
