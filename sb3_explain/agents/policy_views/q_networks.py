"""Views of DQN and QR-DQN, whose networks give Q(s, a) of every action."""

from __future__ import annotations

from torch import Tensor

from sb3_explain.agents.policy_views.base import PolicyView
from sb3_explain.envs.spaces import Observations


class DQNView(PolicyView):
    """DQN: scores are Q(s, a), values are max_a Q(s, a)."""

    value_based = True

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        q_values: Tensor = self.policy.q_net(observations)
        return q_values

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.scores(observations, lstm_states).amax(dim=1)

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        scores = self.scores(observations, lstm_states)
        return scores, scores.amax(dim=1)


class QRDQNView(DQNView):
    """QR-DQN: scores are the means over quantiles, (B, Q, K) -> (B, K)."""

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        quantiles: Tensor = self.policy.quantile_net(observations)
        return quantiles.mean(dim=1)
