"""The view of a policy through its networks in bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor

from sb3_explain.agents.policy_views.wrapped import WrappedView
from sb3_explain.envs.spaces import Observations


class HalfPrecisionView(WrappedView):
    """What a policy says if its convolutions and linear layers compute in bfloat16, as float32.

    The weights stay as they are; what needs the range of float32, such as an LSTM's state, keeps
    it (:class:`torch.autocast`).
    """

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        with self._half():
            return super().scores(observations, lstm_states).float()

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        with self._half():
            return super().values(observations, lstm_states).float()

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with self._half():
            scores, values = super().scores_and_values(observations, lstm_states)
        return scores.float(), values.float()

    def critics(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        with self._half():
            return super().critics(observations, lstm_states).float()

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        with self._half():
            return super().std(observations, lstm_states).float()

    def next_lstm_states(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> Tensor | None:
        with self._half():
            states = super().next_lstm_states(observations, lstm_states)
        return None if states is None else states.float()

    def _half(self) -> torch.autocast:
        """Compute in bfloat16 while it lasts."""
        device = next(self.policy.parameters(), torch.empty(0)).device
        return torch.autocast(device.type, torch.bfloat16)
