"""Views of A2C, PPO, TRPO and MaskablePPO, whose policies have an actor and V(s)."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from torch import Tensor

from sb3_explain.agents.policy_views.base import PolicyView
from sb3_explain.envs.spaces import Observations


class ActorCriticView(PolicyView):
    """A2C, PPO and TRPO: scores are the logits or the mean action, values are V(s)."""

    policy: ActorCriticPolicy

    def _head(self, latent_pi: Tensor) -> Tensor:
        outputs: Tensor = self.policy.action_net(latent_pi)
        distribution = getattr(self.policy, "action_dist", None)
        if isinstance(distribution, StateDependentNoiseDistribution) and distribution.bijector:
            return torch.tanh(outputs)
        return outputs

    def _latent_pi(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        policy = self.policy
        features = BaseModel.extract_features(policy, observations, policy.pi_features_extractor)
        latent: Tensor = policy.mlp_extractor.forward_actor(features)
        return latent

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self._head(self._latent_pi(observations, lstm_states))

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        policy = self.policy
        features = BaseModel.extract_features(policy, observations, policy.vf_features_extractor)
        latent_vf = policy.mlp_extractor.forward_critic(features)
        values: Tensor = policy.value_net(latent_vf)
        return values.squeeze(-1)

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        policy = self.policy
        if not policy.share_features_extractor:
            return super().scores_and_values(observations, lstm_states)
        # as the policy's predict does, whatever extract_features of a derived class does
        features = BaseModel.extract_features(policy, observations, policy.pi_features_extractor)
        latent_pi, latent_vf = policy.mlp_extractor(features)
        return self._head(latent_pi), policy.value_net(latent_vf).squeeze(-1)

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        latent_pi = self._latent_pi(observations, lstm_states)
        means: Tensor = self.policy.action_net(latent_pi)
        distribution = self.policy.action_dist
        if isinstance(distribution, StateDependentNoiseDistribution):
            std = distribution.get_std(self.policy.log_std)
            return torch.sqrt(torch.mm(latent_pi**2, std**2) + distribution.epsilon)
        return self.policy.log_std.exp().expand_as(means)


class MaskableActorCriticView(ActorCriticView):
    """MaskablePPO: scores before masking; :class:`sb3_explain.Agent` applies the masks."""

    maskable = True

    def _head(self, latent_pi: Tensor) -> Tensor:
        outputs = super()._head(latent_pi)
        if not isinstance(self.policy.action_space, spaces.MultiBinary):
            return outputs
        # MaskablePPO has two logits for each bit, off and on
        pairs = outputs.reshape(len(outputs), -1, 2)
        return pairs[:, :, 1] - pairs[:, :, 0]
