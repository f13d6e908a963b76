"""View of a torch module that returns scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sb3_explain.agents.policy_views.base import FORBIDDEN, PolicyView
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations


class ModuleView(PolicyView):
    """Any module that maps observations to scores (B, K), or to (scores, values).

    :param policy: the module
    :param value_based: whether the scores are Q-values; the value is then their maximum
    """

    adds_start = True

    def __init__(self, policy: nn.Module, *, value_based: bool) -> None:
        super().__init__(policy)
        self.value_based = value_based

    def _outputs(self, observations: Observations) -> tuple[Tensor, Tensor | None]:
        scores, values = _split(self.policy(observations))
        # differences of infinite scores are NaN; half precision has no number of this size
        scores = (scores.float() if scores.dtype == torch.half else scores).clamp_min(FORBIDDEN)
        if values is not None:
            return scores, values.reshape(len(scores))
        return scores, scores.amax(dim=1) if self.value_based else None

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self._outputs(observations)[0]

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        values = self._outputs(observations)[1]
        if values is None:
            raise ExplainError(
                "this agent's module returns scores alone: return (scores, values) to have values"
            )
        return values

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        scores, values = self._outputs(observations)
        return scores, torch.full_like(scores[:, 0], torch.nan) if values is None else values


def _split(outputs: Any) -> tuple[Tensor, Tensor | None]:
    """The scores and values among what a module returned.

    :raises ExplainError: if it returned something else
    """
    pair = outputs if isinstance(outputs, tuple | list) else (outputs,)
    if len(pair) not in (1, 2) or not all(isinstance(part, Tensor) for part in pair):
        kinds = ", ".join(type(part).__name__ for part in pair)
        got = f"{type(outputs).__name__} of {kinds or 'nothing'}" if pair is outputs else kinds
        raise ExplainError(
            f"it returns a {got}, but must return a tensor of scores (batch, actions), or a pair "
            "of scores and values (batch,)"
        )
    for part in pair:
        if not part.is_floating_point():
            raise ExplainError(
                f"it returns {part.dtype}, but must return scores and values as floating-point "
                "numbers"
            )
    scores, values = (*pair, None)[:2]
    if scores.ndim != 2:
        raise ExplainError(
            f"its scores have the shape {tuple(scores.shape)} instead of (batch, actions)"
        )
    return scores, values
