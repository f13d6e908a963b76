"""A differentiable view of each class of policy in stable-baselines3 and sb3-contrib.

A view turns observations into two tensors, scores and values. It never samples: actions are
sampled in :mod:`sb3_explain.agents.action_spaces`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations

#: score of a forbidden action, as in MaskablePPO
FORBIDDEN = -1e8


class PolicyView(ABC):
    """Scores and values of one policy.

    :param policy: the module that holds the weights
    """

    # Any, because the policies of SB3 share no base class that has their networks
    policy: Any
    #: whether ``scores`` are Q-values, whose softmax is a convention and not the agent's own
    value_based = False
    #: whether the policy was trained with the environment's action masks
    maskable = False

    def __init__(self, policy: nn.Module) -> None:
        self.policy = policy

    @abstractmethod
    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        """(B, K) scores, as :meth:`sb3_explain.Agent.scores` defines them."""

    @abstractmethod
    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        """(B,) values, as :meth:`sb3_explain.Agent.values` defines them."""

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(B, K) scores and (B,) values; views whose two heads share layers run these once."""
        return self.scores(observations, lstm_states), self.values(observations, lstm_states)

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        """(B, A) standard deviation of a Box action before squashing or clipping; 0 if none."""
        return torch.zeros_like(self.scores(observations, lstm_states))

    def initial_lstm_states(self, batch_size: int) -> Tensor | None:
        """(B, ...) recurrent states at the start of an episode; ``None`` if not recurrent."""
        return None

    def next_lstm_states(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> Tensor | None:
        """(B, ...) recurrent states after these observations; ``None`` if not recurrent."""
        return None


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
        latent_pi, latent_vf = policy.mlp_extractor(policy.extract_features(observations))
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


class ActorQView(PolicyView):
    """SAC, TD3, DDPG, CrossQ and TQC, whose actors give actions in [-1, 1].

    Scores are the deterministic action pi(s), values are min over critics of Q(s, pi(s)).
    """

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


class ModuleView(PolicyView):
    """Any module that maps observations to scores (B, K), or to (scores, values).

    :param policy: the module
    :param value_based: whether the scores are Q-values; the value is then their maximum
    """

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


def make_view(policy: nn.Module) -> PolicyView:
    """Make the view that reads scores and values off a policy.

    :param policy: policy of a class of stable-baselines3 or sb3-contrib, or derived from one
    :raises ExplainError: for a policy of any other class
    """
    views: list[tuple[type[nn.Module] | tuple[type[nn.Module], ...], type[PolicyView]]] = [
        (RecurrentActorCriticPolicy, RecurrentActorCriticView),
        (MaskableActorCriticPolicy, MaskableActorCriticView),
        (ActorCriticPolicy, ActorCriticView),
        (DQNPolicy, DQNView),
        (QRDQNPolicy, QRDQNView),
        ((SACPolicy, TD3Policy, TQCPolicy, CrossQPolicy), ActorQView),
        (ARSPolicy, ARSView),
    ]
    for policy_class, view in views:
        if isinstance(policy, policy_class):
            return view(policy)
    raise ExplainError(
        f"cannot read a policy of class {type(policy).__name__}: "
        "use Agent.from_module with a module that returns scores"
    )


def forbid(scores: Tensor, action_masks: Tensor) -> Tensor:
    """Scores (B, K) with -1e8 for every action that the masks forbid, as MaskablePPO does.

    :param scores: (B, K) scores of the actions
    :param action_masks: (B, K) of 0 (forbidden) and 1 (allowed), or (B, 2K) for MultiBinary
        actions: whether each bit may be off, and whether it may be on
    """
    never = scores.new_tensor(FORBIDDEN)
    allowed = action_masks.to(scores.device).reshape(len(scores), -1) > 0
    if allowed.shape == scores.shape:
        return torch.where(allowed, scores, never)
    off, on = allowed.reshape(len(scores), -1, 2).unbind(dim=2)
    return torch.where(on, torch.where(off, scores, -never), never)
