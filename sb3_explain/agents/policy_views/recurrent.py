"""View of RecurrentPPO, whose actor and critic remember by LSTMs."""

from __future__ import annotations

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import BaseModel
from torch import Tensor, nn

from sb3_explain.agents.policy_views.actor_critic import ActorCriticView
from sb3_explain.agents.policy_views.base import PolicyView
from sb3_explain.envs.spaces import Observations


class RecurrentActorCriticView(ActorCriticView):
    """RecurrentPPO, whose LSTM states are (B, 4, layers, hidden): h and c of actor, then critic."""

    policy: RecurrentActorCriticPolicy

    def initial_lstm_states(self, batch_size: int) -> Tensor:
        layers, _, hidden = self.policy.lstm_hidden_state_shape
        return torch.zeros(batch_size, 4, layers, hidden, device=self.policy.device)

    @staticmethod
    def _states(lstm_states: Tensor, first: int) -> tuple[Tensor, Tensor]:
        # (B, 4, L, H) -> two of (L, B, H), the layout of nn.LSTM
        states = lstm_states[:, first : first + 2].permute(1, 2, 0, 3).contiguous()
        return states[0], states[1]

    def _lstm(
        self, lstm: nn.LSTM, features: Tensor, states: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        # cuDNN refuses a backward pass through an LSTM in evaluation mode, and oneDNN an LSTM in
        # bfloat16 on many processors: so it stays in full precision inside of autocast.
        full = features.to(next(lstm.parameters()).dtype).unsqueeze(0)
        off = torch.autocast(features.device.type, enabled=False)
        with torch.backends.cudnn.flags(enabled=False), off:
            outputs, states = lstm(full, states)
        return outputs.squeeze(0), states

    def _lstm_states(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        if lstm_states is not None:
            return lstm_states
        first = (
            next(iter(observations.values())) if isinstance(observations, dict) else observations
        )
        return self.initial_lstm_states(len(first))

    def _actor_lstm(
        self, observations: Observations, lstm_states: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        policy = self.policy
        features = BaseModel.extract_features(policy, observations, policy.pi_features_extractor)
        return self._lstm(policy.lstm_actor, features, self._states(lstm_states, 0))

    def _critic_lstm(
        self, observations: Observations, lstm_states: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        policy = self.policy
        if policy.lstm_critic is None and policy.shared_lstm:
            return self._actor_lstm(observations, lstm_states)
        features = BaseModel.extract_features(policy, observations, policy.vf_features_extractor)
        if policy.lstm_critic is None:
            assert policy.critic is not None
            return policy.critic(features), None
        return self._lstm(policy.lstm_critic, features, self._states(lstm_states, 2))

    def _latent_pi(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        latent, _ = self._actor_lstm(observations, self._lstm_states(observations, lstm_states))
        latent_pi: Tensor = self.policy.mlp_extractor.forward_actor(latent)
        return latent_pi

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        latent, _ = self._critic_lstm(observations, self._lstm_states(observations, lstm_states))
        values: Tensor = self.policy.value_net(self.policy.mlp_extractor.forward_critic(latent))
        return values.squeeze(-1)

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return PolicyView.scores_and_values(self, observations, lstm_states)

    def next_lstm_states(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        lstm_states = self._lstm_states(observations, lstm_states)
        _, actor = self._actor_lstm(observations, lstm_states)
        _, critic = self._critic_lstm(observations, lstm_states)
        states = torch.stack([*actor, *(critic or actor)])  # (4, L, B, H)
        return states.permute(2, 0, 1, 3).contiguous()
