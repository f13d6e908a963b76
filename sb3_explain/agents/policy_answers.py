"""What a policy itself answers, by its own methods: the measure of every view of it.

Nothing here knows how a view reads the policy. The methods are those that the libraries call:
``predict``, ``get_distribution``, ``predict_values``, the actor, the critics and the Q-network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.maskable.distributions import MaskableBernoulliDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line

Array = NDArray[Any]


@dataclass(frozen=True)
class Question:
    """What a policy is asked.

    :param observations: (B, ...) observations, or a dict of such arrays
    :param action_masks: (B, C) of 0 and 1 for a maskable policy
    :param lstm_states: (B, 4, layers, hidden) states of a recurrent policy: h and c of its actor,
        then of its critic
    """

    observations: Array | dict[str, Array]
    action_masks: Array | None = None
    lstm_states: Tensor | None = None


@dataclass(frozen=True)
class Answers:
    """What a policy answers.

    :param actions: (B, ...) deterministic actions, as the environment takes them
    :param probabilities: (B, K) of the actions, or (B, A, 2) means and standard deviations of Box
        actions; ``None`` if the policy says none
    :param scores: (B, K) Q-values; ``None`` if the policy has none
    :param values: (B,) values; ``None`` if the policy has none
    :param lstm_states: (B, 4, layers, hidden) states after the observations
    """

    actions: Array
    probabilities: Tensor | None = None
    scores: Tensor | None = None
    values: Tensor | None = None
    lstm_states: Tensor | None = None


def ask(policy: Any, question: Question) -> Answers:
    """Ask a policy by its own methods.

    :param policy: policy of a class that :func:`sb3_explain.agents.policy_views.list_views` knows
    :param question: observations, and what else the policy takes
    :raises ExplainError: if a method of the policy that must answer raises
    """
    tensors, _ = policy.obs_to_tensor(question.observations)
    if isinstance(policy, RecurrentActorCriticPolicy):
        return _ask_recurrent(policy, question, tensors)
    if isinstance(policy, DQNPolicy | QRDQNPolicy):
        network = policy.q_net if isinstance(policy, DQNPolicy) else policy.quantile_net
        outputs = _call("q_net", lambda: network(tensors))
        q_values = outputs if isinstance(policy, DQNPolicy) else outputs.mean(dim=1)
        return Answers(_predict(policy, question), scores=q_values, values=q_values.amax(dim=1))
    if isinstance(policy, ARSPolicy):
        return Answers(_predict(policy, question))
    if isinstance(policy, ActorCriticPolicy | MaskableActorCriticPolicy):
        return _ask_actor_critic(policy, question, tensors)
    return _ask_actor_and_critics(policy, question, tensors)


def _ask_actor_critic(policy: Any, question: Question, tensors: Any) -> Answers:
    masks = {} if question.action_masks is None else {"action_masks": question.action_masks}
    if not hasattr(policy.mlp_extractor, "forward_actor"):
        # networks of Stable-Baselines3 1.0 to 1.5 answer to forward alone
        acted, values, _ = _call("forward", lambda: policy(tensors, deterministic=True, **masks))
        return Answers(_to_environment(policy, acted), values=values.squeeze(-1))
    actions = _predict(policy, question)
    values = _call("predict_values", lambda: policy.predict_values(tensors))
    probabilities = _read_probabilities(
        policy, lambda: policy.get_distribution(tensors, **masks), actions
    )
    return Answers(actions, probabilities, values=values.squeeze(-1))


def _ask_recurrent(policy: Any, question: Question, tensors: Any) -> Answers:
    assert question.lstm_states is not None
    states = question.lstm_states.permute(1, 2, 0, 3).contiguous()  # (4, L, B, H)
    actor, critic = (states[0], states[1]), (states[2], states[3])
    starts = torch.zeros(states.shape[2], device=states.device)
    arrays = tuple(state.cpu().numpy() for state in actor)
    actions, _ = _call(
        "predict",
        lambda: policy.predict(
            question.observations, state=arrays, episode_start=starts.numpy(force=True),
            deterministic=True,
        ),
    )  # fmt: skip
    own = actor if policy.lstm_critic is None else critic
    values = _call("predict_values", lambda: policy.predict_values(tensors, own, starts))
    probabilities = _read_probabilities(
        policy, lambda: policy.get_distribution(tensors, actor, starts)[0], actions
    )
    passed = _call(
        "forward",
        lambda: policy(tensors, RNNStates(actor, critic), starts, deterministic=True),
    )
    after = torch.stack([*passed[3].pi, *passed[3].vf]).permute(2, 0, 1, 3)
    return Answers(actions, probabilities, values=values.squeeze(-1), lstm_states=after)


def _ask_actor_and_critics(policy: Any, question: Question, tensors: Any) -> Answers:
    actions = _predict(policy, question)
    means = _call("_predict", lambda: policy._predict(tensors, deterministic=True))
    outputs = _call("critic", lambda: policy.critic(tensors, means))
    q_values = outputs.mean(dim=2) if isinstance(policy, TQCPolicy) else torch.cat(outputs, dim=1)
    std = torch.zeros_like(means)
    if not isinstance(policy, TD3Policy):
        mean, log_std, extra = _call("actor", lambda: policy.actor.get_action_dist_params(tensors))
        made = policy.actor.action_dist.proba_distribution(mean, log_std, *extra.values())
        std = made.distribution.stddev
    return Answers(actions, torch.stack([means, std], dim=-1), values=q_values.amin(dim=1))


def _predict(policy: Any, question: Question) -> Array:
    """The policy's own ``predict``; its ``_predict`` where that rejects the observation's shape."""
    masks = {} if question.action_masks is None else {"action_masks": question.action_masks}
    try:
        return np.asarray(policy.predict(question.observations, deterministic=True, **masks)[0])
    except Exception:
        tensors, _ = policy.obs_to_tensor(question.observations)
        acted = _call("predict", lambda: policy._predict(tensors, deterministic=True, **masks))
        return _to_environment(policy, acted)


def _to_environment(policy: BasePolicy, acted: Tensor) -> Array:
    """Actions as ``BasePolicy.predict`` hands them to the environment."""
    space = policy.action_space
    actions: Array = acted.detach().cpu().numpy().reshape((-1, *(space.shape or ())))
    if not isinstance(space, spaces.Box):
        return actions
    if policy.squash_output:
        return np.asarray(policy.unscale_action(actions))
    return np.clip(actions, space.low, space.high)


def _read_probabilities(
    policy: Any, get_distribution: Callable[[], Any], actions: Array
) -> Tensor | None:
    """The probabilities of ``get_distribution``, unless the policy acts by another distribution."""
    try:
        distribution = get_distribution()
        acted = _to_environment(policy, distribution.get_actions(deterministic=True))
        probabilities = _probabilities_of(distribution)
    # a method of the policy's own may raise anything; its actions are compared all the same
    except Exception:
        return None
    return probabilities if np.allclose(acted, actions, atol=1e-4) else None


def _probabilities_of(distribution: Any) -> Tensor:
    """(B, K) probabilities of a distribution of stable-baselines3; (B, A, 2) of a Gaussian one."""
    inner = getattr(distribution, "distributions", None) or distribution.distribution
    if isinstance(inner, torch.distributions.Normal):
        return torch.stack([distribution.mode(), inner.stddev], dim=-1)
    if not isinstance(inner, list):
        probabilities: Tensor = inner.probs
        return probabilities
    if isinstance(distribution, MaskableBernoulliDistribution):
        return torch.stack([pair.probs[:, 1] for pair in inner], dim=1)
    return torch.cat([part.probs for part in inner], dim=1)


def _call(method: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    # whatever a stranger's policy may raise
    except Exception as error:
        raise ExplainError(
            f"its {method} raises {type(error).__name__} ({one_line(error)})"
        ) from error
