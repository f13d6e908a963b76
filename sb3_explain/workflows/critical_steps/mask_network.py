"""What a mask policy observes, and its network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from sb3_explain.agents.activations import list_innermost
from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import Observations, split_keys

#: step of Adam
LEARNING_RATE = 1e-3
#: largest absolute value of a normalized feature, and what is added to variances: VecNormalize's
CLIP, EPSILON = 10.0, 1e-8


def find_hidden_layer(agent: Agent) -> str | None:
    """Find the layer whose activations the mask policy observes.

    It is the last hidden one on the way to the actions, of an agent that observes pictures or has a
    memory. ``None`` for other agents, whose observations are observed themselves.

    :param agent: the agent
    """
    if not agent.layout.pictures and not agent.recurrent:
        return None
    hidden = [
        name
        for name in list_innermost(agent.layers)
        if not isinstance(agent.view.policy.get_submodule(name), nn.Linear | nn.Flatten)
        and not any(part in name for part in ("value", "critic", "target"))
    ]
    return hidden[-1] if hidden else None


def read_features(
    agent: Agent, layer: str | None, observations: Observations, lstm_states: Tensor | None
) -> Tensor:
    """Read what the mask policy observes: (B, F).

    :param agent: the agent
    :param layer: name of the layer whose activations are observed; ``None`` for the observations
    :param observations: (B, ...) observations
    :param lstm_states: state of a recurrent agent's LSTM
    """
    if layer is not None:
        return agent.activations(observations, layer, lstm_states).flatten(1)
    agent.check(observations)
    by_key = split_keys(observations)
    return torch.cat([by_key[key].flatten(1).float() for key in sorted(by_key)], dim=1)


def list_running(normalize: VecNormalize) -> Iterator[tuple[str, RunningMeanStd]]:
    """List the running statistics of VecNormalize, by the names of their buffers."""
    for name, running in (("feature", normalize.obs_rms), ("return", normalize.ret_rms)):
        assert isinstance(running, RunningMeanStd)  # observations are no dict
        yield name, running


class MaskNetwork(nn.Module):
    """A mask policy of PPO, with the statistics that normalize what it observes.

    :param n_features: number of features that it observes
    """

    feature_mean: Tensor
    feature_var: Tensor
    feature_count: Tensor
    return_mean: Tensor
    return_var: Tensor
    return_count: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        observed = spaces.Box(-np.inf, np.inf, (n_features,), np.float32)
        self.policy = ActorCriticPolicy(observed, spaces.Discrete(2), lambda _: LEARNING_RATE)
        for name, shape in (("feature", (n_features,)), ("return", ())):
            start = RunningMeanStd(shape=shape)
            self.register_buffer(f"{name}_mean", torch.as_tensor(start.mean))
            self.register_buffer(f"{name}_var", torch.as_tensor(start.var))
            count = torch.as_tensor(start.count, dtype=torch.float64)
            self.register_buffer(f"{name}_count", count)

    def give_statistics(self, normalize: VecNormalize) -> None:
        """Let VecNormalize go on from these statistics."""
        for name, running in list_running(normalize):
            running.mean = getattr(self, f"{name}_mean").numpy().copy()
            running.var = getattr(self, f"{name}_var").numpy().copy()
            running.count = float(getattr(self, f"{name}_count"))

    def take_statistics(self, normalize: VecNormalize) -> None:
        """Keep the statistics that VecNormalize has now."""
        for name, running in list_running(normalize):
            for part in ("mean", "var", "count"):
                buffer: Tensor = getattr(self, f"{name}_{part}")
                buffer.copy_(torch.as_tensor(getattr(running, part)))

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """Return the probability (B,) that the agent acts itself.

        :param features: (B, F) what the mask policy observes
        """
        deviation = (self.feature_var + EPSILON).sqrt()
        normalized = ((features.cpu().double() - self.feature_mean) / deviation).clamp(-CLIP, CLIP)
        distribution = self.policy.get_distribution(normalized.float()).distribution
        own: Tensor = distribution.probs[:, 0]  # type: ignore[union-attr]
        return own
