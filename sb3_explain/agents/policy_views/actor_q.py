"""Views of SAC, TD3, DDPG, CrossQ, TQC and ARS, whose actors give the action itself."""

from __future__ import annotations

import torch
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from sb3_explain.agents.policy_views.base import PolicyView
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations


class ActorQView(PolicyView):
    """SAC, TD3, DDPG, CrossQ and TQC, whose actors give actions in [-1, 1].

    Scores are the deterministic action pi(s), values are min over critics of Q(s, pi(s)).
    """

    @property
    def n_critics(self) -> int:  # type: ignore[override]
        return int(self.policy.critic.n_critics)

    def critics(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self._q_values(observations, self.scores(observations, lstm_states))

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        actor = self.policy.actor
        if isinstance(self.policy, TD3Policy):
            actions: Tensor = actor(observations)
        else:
            means, _, _ = actor.get_action_dist_params(observations)
            actions = torch.tanh(means)
        return actions

    def _q_values(self, observations: Observations, actions: Tensor) -> Tensor:
        """(B, n_critics) Q(s, a) of each critic; the mean over quantiles for TQC."""
        if isinstance(self.policy, TQCPolicy):
            quantiles: Tensor = self.policy.critic(observations, actions)
            return quantiles.mean(dim=2)
        return torch.cat(self.policy.critic(observations, actions), dim=1)

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.scores_and_values(observations, lstm_states)[1]

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        actions = self.scores(observations, lstm_states)
        return actions, self._q_values(observations, actions).amin(dim=1)

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        if isinstance(self.policy, TD3Policy):
            return super().std(observations, lstm_states)
        actor = self.policy.actor
        log_std: Tensor
        _, log_std, extra = actor.get_action_dist_params(observations)
        if extra:
            noise = actor.action_dist
            variance = torch.mm(extra["latent_sde"] ** 2, noise.get_std(log_std) ** 2)
            return torch.sqrt(variance + noise.epsilon)
        return log_std.exp()


class ARSView(PolicyView):
    """ARS: scores are the policy's outputs; there is no value function."""

    policy: ARSPolicy

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        features = self.policy.extract_features(observations, self.policy.features_extractor)
        outputs: Tensor = self.policy.action_net(features)
        return outputs

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        raise ExplainError("an ARS agent has no value function: ask for its scores instead")

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        scores = self.scores(observations, lstm_states)
        return scores, torch.full_like(scores[:, 0], torch.nan)
