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
        outputs: Any = self.policy(observations)
        scores, values = (outputs, None) if isinstance(outputs, Tensor) else outputs
        # differences of infinite scores are NaN
        scores = scores.clamp_min(FORBIDDEN)
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
