"""The sizes of a policy's networks, read off the shapes of its weights.

What a configuration says about sizes may be old, wrong or missing; the weights cannot be. A file
also cannot ask for networks larger than the weights that it holds.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from sb3_explain.agents.loading.weights import Weights
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.sgqn.baselines import SODAPolicy
from sb3_explain.sgqn.policies import PixelPolicy, SGQNPolicy

#: prefixes of the first features extractor, for every kind of policy
EXTRACTORS = (
    "features_extractor",
    "actor.features_extractor",
    "q_net.features_extractor",
    "quantile_net.features_extractor",
)


def read_sizes(
    policy_class: type, weights: Weights, space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> dict[str, Any]:
    """The arguments of a policy's class that the shapes of its weights determine.

    :param policy_class: class of stable-baselines3 or sb3-contrib, or derived from one of theirs
    :param weights: state dict of the policy
    :param space: observation space of the policy
    :param action_space: action space of the policy
    """
    if issubclass(policy_class, ARSPolicy):
        return {
            "net_arch": read_widths(weights, "action_net")[:-1],
            "with_bias": any(name.endswith(".bias") for name in weights),
        }
    if issubclass(policy_class, PixelPolicy):
        return read_pixel_sizes(policy_class, weights, action_space)
    sizes = read_extractor_sizes(weights, space)
    if issubclass(policy_class, QRDQNPolicy):
        *hidden, outputs = read_widths(weights, "quantile_net.quantile_net") or [0]
        n_actions = int(action_space.n) if isinstance(action_space, spaces.Discrete) else 1
        return {**sizes, "net_arch": hidden, "n_quantiles": outputs // n_actions}
    if issubclass(policy_class, DQNPolicy):
        return {**sizes, "net_arch": read_widths(weights, "q_net.q_net")[:-1]}
    if issubclass(policy_class, SACPolicy | TD3Policy | TQCPolicy | CrossQPolicy):
        return {**sizes, **read_actor_q_sizes(policy_class, weights, action_space)}
    sizes |= read_actor_critic_sizes(weights, action_space)
    if issubclass(policy_class, RecurrentActorCriticPolicy):
        sizes |= read_lstm_sizes(weights)
    return sizes


def read_widths(weights: Weights, prefix: str) -> list[int]:
    """Output sizes of the linear layers ``<prefix>.<i>.weight``, in the order of ``i``.

    Layers of other kinds, such as batch renormalisation, have no weight of two dimensions.
    """
    layers = {}
    for name, tensor in weights.items():
        match = re.fullmatch(rf"{re.escape(prefix)}\.(\d{{1,6}})\.weight", name)
        if match and tensor.ndim == 2:
            layers[int(match[1])] = tensor.shape[0]
    return [layers[i] for i in sorted(layers)]


def read_length(weights: Weights, name: str, axis: int) -> int:
    """The length of one axis of a weight.

    :raises ExplainError: if the weight has fewer axes
    """
    shape = weights[name].shape
    if len(shape) <= axis:
        raise ExplainError(f"the weights fit no policy: {quote(name)} has shape {tuple(shape)}")
    return shape[axis]


def read_extractor_sizes(weights: Weights, space: spaces.Space[Any]) -> dict[str, Any]:
    """Class and sizes of the features extractor, if it is a convolutional one of SB3."""
    for prefix in EXTRACTORS:
        if f"{prefix}.cnn.0.weight" in weights and f"{prefix}.linear.0.weight" in weights:
            features = read_length(weights, f"{prefix}.linear.0.weight", 0)
            return {
                "features_extractor_class": NatureCNN,
                "features_extractor_kwargs": {"features_dim": features},
            }
        combined = re.compile(rf"{re.escape(prefix)}\.extractors\..*\.linear\.0\.weight")
        for name in weights:
            if combined.fullmatch(name) and isinstance(space, spaces.Dict):
                return {
                    "features_extractor_class": CombinedExtractor,
                    "features_extractor_kwargs": {"cnn_output_dim": read_length(weights, name, 0)},
                }
    return {}


def hold_same_numbers(weights: Weights, first: str, second: str) -> bool:
    """Whether two modules have equal weights, so that sharing one module gives the same policy."""
    left = {n.removeprefix(first): t for n, t in weights.items() if n.startswith(first)}
    right = {n.removeprefix(second): t for n, t in weights.items() if n.startswith(second)}
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def read_noise_sizes(
    log_std: torch.Tensor | None, action_space: spaces.Space[Any]
) -> dict[str, Any]:
    """Arguments of the noise: state-dependent exploration has a matrix, plain noise a vector."""
    if log_std is None or log_std.ndim != 2:
        return {"use_sde": False}
    n_actions = int(action_space.shape[0]) if action_space.shape else 1
    return {"use_sde": True, "full_std": log_std.shape[1] == n_actions}


def read_actor_critic_sizes(weights: Weights, action_space: spaces.Space[Any]) -> dict[str, Any]:
    """Sizes of the policies of A2C, PPO, TRPO, MaskablePPO and RecurrentPPO."""
    return {
        "net_arch": {
            "pi": read_widths(weights, "mlp_extractor.policy_net"),
            "vf": read_widths(weights, "mlp_extractor.value_net"),
        },
        "share_features_extractor": hold_same_numbers(
            weights, "pi_features_extractor", "vf_features_extractor"
        ),
        **read_noise_sizes(weights.get("log_std"), action_space),
    }


def read_lstm_sizes(weights: Weights) -> dict[str, Any]:
    """Sizes of RecurrentPPO's LSTM; its critic has its own, a linear layer, or the actor's."""
    layers = [n for n in weights if re.fullmatch(r"lstm_actor\.weight_hh_l\d+", n)]
    own = "lstm_critic.weight_hh_l0" in weights
    return {
        "lstm_hidden_size": read_length(weights, layers[0], 1) if layers else 1,
        "n_lstm_layers": len(layers),
        "enable_critic_lstm": own,
        "shared_lstm": not own and "critic.weight" not in weights,
    }


def read_actor_q_sizes(
    policy_class: type, weights: Weights, action_space: spaces.Space[Any]
) -> dict[str, Any]:
    """Sizes of the policies of SAC, TD3, DDPG, TQC and CrossQ."""
    deterministic = issubclass(policy_class, TD3Policy)
    actor = (
        read_widths(weights, "actor.mu")[:-1]
        if deterministic
        else read_widths(weights, "actor.latent_pi")
    )
    *critic, outputs = read_widths(weights, "critic.qf0") or [1]
    sizes: dict[str, Any] = {
        "net_arch": {"pi": actor, "qf": critic},
        "n_critics": len({n.split(".")[1] for n in weights if n.startswith("critic.qf")}),
        "share_features_extractor": hold_same_numbers(
            weights, "actor.features_extractor", "critic.features_extractor"
        ),
    }
    if not deterministic:
        sizes |= read_noise_sizes(weights.get("actor.log_std"), action_space)
    if issubclass(policy_class, TQCPolicy):
        sizes["n_quantiles"] = outputs
    if issubclass(policy_class, CrossQPolicy):
        sizes["batch_norm"] = any(name.endswith(".ra_mean") for name in weights)
    return sizes


def read_pixel_sizes(
    policy_class: type, weights: Weights, action_space: spaces.Space[Any]
) -> dict[str, Any]:
    """Sizes of the policies of SGQN and of the algorithms that share its networks."""
    cnn = re.compile(r"critic\.features_extractor\.cnn\.\d+\.weight")
    layers = [name for name in weights if cnn.fullmatch(name)]
    projection = read_widths(weights, "critic.features_extractor.projection")
    sizes = read_actor_q_sizes(policy_class, weights, action_space)
    sizes = {name: sizes[name] for name in ("net_arch", "n_critics")} | {
        "n_layers": len(layers),
        "n_filters": read_length(weights, layers[0], 0) if layers else 1,
        "features_dim": projection[0] if projection else 1,
    }
    if issubclass(policy_class, SGQNPolicy):
        decoder = re.compile(r"decoder\.layers\.\d+\.weight")
        filters = [t.shape[0] for n, t in weights.items() if decoder.fullmatch(n) and t.ndim == 4]
        sizes["decoder_filters"] = filters[:2]
        sizes["predicts_saliency"] = bool(filters)
    if issubclass(policy_class, SODAPolicy):
        sizes["soda_dim"] = (read_widths(weights, "soda_predictor") or [1])[-1]
    return sizes
