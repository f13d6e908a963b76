"""Views that read a policy through its own methods, for policies that changed some of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from torch import Tensor

from sb3_explain.agents.policy_views.actor_q import ActorQView, ARSView
from sb3_explain.agents.policy_views.base import FORBIDDEN, PolicyView
from sb3_explain.agents.policy_views.recurrent import RecurrentActorCriticView
from sb3_explain.envs.spaces import Observations


class OwnDistributionView(PolicyView):
    """An actor-critic policy read through its ``get_distribution`` and ``predict_values``.

    The logits are those that the policy gives its distribution: a distribution itself keeps
    log-probabilities.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.maskable = isinstance(policy, MaskableActorCriticPolicy)

    def _distribution(self, observations: Observations, lstm_states: Tensor | None) -> Any:
        return self.policy.get_distribution(observations)

    def _read(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Any, Tensor | None]:
        """The policy's distribution, and the logits that it was made of."""
        with _record_logits(self.policy.action_dist) as logits:
            distribution = self._distribution(observations, lstm_states)
        return distribution, logits[-1] if logits else None

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self._scores_of(*self._read(observations, lstm_states))

    def _scores_of(self, distribution: Any, logits: Tensor | None) -> Tensor:
        space = self.policy.action_space
        if isinstance(space, spaces.Box):
            mode: Tensor = distribution.mode()
            return mode.flatten(1)
        inner = getattr(distribution, "distributions", None) or distribution.distribution
        parts = [part.logits for part in (inner if isinstance(inner, list) else [inner])]
        if isinstance(space, spaces.MultiBinary):
            # MaskablePPO has two logits for each bit, off and on
            scores = (
                torch.stack([pair[:, 1] - pair[:, 0] for pair in parts], dim=1)
                if self.maskable
                else parts[0]
            )
        else:
            scores = torch.cat(parts, dim=1)
            if logits is not None and logits.shape == scores.shape:
                given = torch.split(logits, [part.shape[1] for part in parts], dim=1)
                pairs = zip(parts, given, strict=True)
                scores = torch.cat([_undo_normalization(*pair) for pair in pairs], dim=1)
        # differences of infinite scores are NaN
        return scores.clamp_min(FORBIDDEN)

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        values: Tensor = self.policy.predict_values(observations)
        return values.squeeze(-1)

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        distribution, _ = self._read(observations, lstm_states)
        std: Tensor = distribution.distribution.stddev
        return std.flatten(1)


class OwnPredictionView(OwnDistributionView):
    """The same policy read through ``_predict``, whose last distribution it keeps."""

    def _distribution(self, observations: Observations, lstm_states: Tensor | None) -> Any:
        self.policy._predict(observations, deterministic=True)
        return self.policy.action_dist


class OwnForwardView(OwnDistributionView):
    """The same policy read through ``forward``, as it was trained.

    Networks of Stable-Baselines3 1.0 to 1.5 have no ``forward_actor`` and ``forward_critic``.
    """

    def _distribution(self, observations: Observations, lstm_states: Tensor | None) -> Any:
        self.policy(observations, deterministic=True)
        return self.policy.action_dist

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        values: Tensor = self.policy(observations, deterministic=True)[1]
        return values.squeeze(-1)

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with _record_logits(self.policy.action_dist) as logits:
            _, values, _ = self.policy(observations, deterministic=True)
        scores = self._scores_of(self.policy.action_dist, logits[-1] if logits else None)
        return scores, values.squeeze(-1)


class OwnRecurrentView(OwnDistributionView, RecurrentActorCriticView):
    """A policy with LSTMs read through ``get_distribution``, ``predict_values``, ``forward``."""

    policy: Any

    def _inputs(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[RNNStates, Tensor]:
        """The LSTM states of actor and critic, and that no episode begins in any row."""
        states = self._lstm_states(observations, lstm_states)
        return (
            RNNStates(self._states(states, 0), self._states(states, 2)),
            torch.zeros(len(states), device=states.device),
        )

    def _distribution(self, observations: Observations, lstm_states: Tensor | None) -> Any:
        states, starts = self._inputs(observations, lstm_states)
        # cuDNN refuses a backward pass through an LSTM in evaluation mode
        with torch.backends.cudnn.flags(enabled=False):
            return self.policy.get_distribution(observations, states.pi, starts)[0]

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        states, starts = self._inputs(observations, lstm_states)
        own = states.pi if self.policy.lstm_critic is None else states.vf
        with torch.backends.cudnn.flags(enabled=False):
            values: Tensor = self.policy.predict_values(observations, own, starts)
        return values.squeeze(-1)

    def next_lstm_states(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        states, starts = self._inputs(observations, lstm_states)
        after: RNNStates = self.policy(observations, states, starts, deterministic=True)[3]
        return torch.stack([*after.pi, *after.vf]).permute(2, 0, 1, 3).contiguous()


class OwnActorView(ActorQView):
    """SAC, TD3, DDPG, CrossQ and TQC whose action is read through ``_predict``."""

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        actions: Tensor = self.policy._predict(observations, deterministic=True)
        return actions.flatten(1)


class OwnARSView(ARSView):
    """ARS whose Box action is read through ``_predict``."""

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        actions: Tensor = self.policy._predict(observations, deterministic=True)
        return actions.flatten(1)


def _undo_normalization(log_probabilities: Tensor, logits: Tensor) -> Tensor:
    """(B, C) logits with these log-probabilities (B, C), which were made of other logits (B, C).

    The two differ by one number in each state: the one that they differ by in the likeliest action.
    """
    likeliest = log_probabilities.argmax(dim=1, keepdim=True)
    given = logits.gather(1, likeliest)
    offset = torch.where(
        given > FORBIDDEN / 2,
        given - log_probabilities.gather(1, likeliest),
        torch.zeros_like(given),  # every action is forbidden
    )
    return log_probabilities + offset


@contextmanager
def _record_logits(action_dist: Any) -> Iterator[list[Tensor]]:
    """Record the logits of each distribution that a policy makes in the ``with`` block.

    :param action_dist: the object that makes the policy's distributions
    :return: a list to which (B, C) logits are appended
    """
    recorded: list[Tensor] = []
    make = action_dist.proba_distribution

    def record(*args: Any, **kwargs: Any) -> Any:
        recorded.append(args[0] if args else next(iter(kwargs.values())))
        return make(*args, **kwargs)

    action_dist.proba_distribution = record
    try:
        yield recorded
    finally:
        del action_dist.proba_distribution
