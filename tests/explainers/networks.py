"""Agents whose networks are written as people write them, one for each habit that may trip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from sb3_explain import Agent

IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
GRID = spaces.Box(0, 1, (7, 5, 3), np.float32)


class World(gym.Env[Any, Any]):
    """Random observations, which are enough to make a model."""

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


class Convolutions(BaseFeaturesExtractor):
    """Two convolutions and a layer; what lies between them is what the subclasses change."""

    wrap: Callable[[nn.Module], nn.Module] = staticmethod(lambda layer: layer)

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space, 8)
        self.first = self.wrap(nn.Conv2d(space.shape[0], 4, 8, stride=4))
        self.second = self.wrap(nn.Conv2d(4, 4, 3))
        self.out = self.wrap(nn.Linear(4 * 6 * 6, 8))
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.relu(self.second(self.relu(self.first(images)))).flatten(1))


class Functions(Convolutions):
    def forward(self, images: Tensor) -> Tensor:
        seen = F.relu(self.second(torch.relu(self.first(images))))
        return F.relu_(self.out(seen.flatten(1)))


class InPlace(Convolutions):
    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space)
        self.relu = nn.ReLU(inplace=True)


class WeightNorm(Convolutions):
    wrap = staticmethod(weight_norm)


class ParametrizedWeightNorm(Convolutions):
    wrap = staticmethod(parametrizations.weight_norm)


class SpectralNorm(Convolutions):
    wrap = staticmethod(spectral_norm)


class ParametrizedSpectralNorm(Convolutions):
    wrap = staticmethod(parametrizations.spectral_norm)


class Hooks(Convolutions):
    """Hooks before and after a layer, one of which changes what passes."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space)
        self.seen: list[Tensor] = []
        self.first.register_forward_hook(self.remember)
        self.second.register_forward_hook(lambda module, inputs, output: output * 2)
        self.out.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))

    def remember(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.seen = [output]


class Remembering(Convolutions):
    """It keeps what passed last, with its graph."""

    def forward(self, images: Tensor) -> Tensor:
        self.last = self.relu(self.first(images))
        self.features = super().forward(images)
        return self.features


class Attention(Convolutions):
    """Attention over the places of the convolution's output."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.out = nn.Linear(4, 8)

    def forward(self, images: Tensor) -> Tensor:
        places = self.second(self.first(images)).flatten(2).transpose(1, 2)
        attended, self.weights = self.attention(places, places, places)
        return self.out(attended.mean(dim=1))


class Encoder(Attention):
    """A layer of a transformer, which has a fast path in evaluation mode."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space)
        self.attention = nn.TransformerEncoderLayer(4, 2, 16, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        places = self.second(self.first(images)).flatten(2).transpose(1, 2)
        return self.out(self.attention(places).mean(dim=1))


class DotProduct(Attention):
    def forward(self, images: Tensor) -> Tensor:
        places = self.second(self.first(images)).flatten(2).transpose(1, 2)
        return self.out(F.scaled_dot_product_attention(places, places, places).mean(dim=1))


class Permuted(BaseFeaturesExtractor):
    """Axes (H, W, C), which it permutes itself."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space, 8)
        self.first, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4 * 5 * 3, 8)

    def forward(self, grids: Tensor) -> Tensor:
        seen = torch.relu(self.first(grids.permute(0, 3, 1, 2).contiguous()))
        return self.out(seen.flatten(1))


NETWORKS: dict[str, tuple[spaces.Box, type[BaseFeaturesExtractor]]] = {
    **{
        kind.__name__: (IMAGE, kind)
        for kind in (
            Convolutions, Functions, InPlace, WeightNorm, ParametrizedWeightNorm, SpectralNorm,
            ParametrizedSpectralNorm, Hooks, Remembering, Attention, Encoder, DotProduct,
        )
    },
    "Permuted": (GRID, Permuted),
}  # fmt: skip


def make_network_agent(name: str) -> Agent:
    """An agent of PPO with that network, after a pass that trains."""
    space, kind = NETWORKS[name]
    policy_kwargs = {"features_extractor_class": kind, "net_arch": [8]}
    model = PPO(
        "CnnPolicy" if space is IMAGE else "MlpPolicy", World(space), n_steps=8, batch_size=8,
        n_epochs=1, seed=0, device="cpu", policy_kwargs=policy_kwargs,
    )  # fmt: skip
    model.learn(8)
    return Agent.from_model(model, n_stack=1)
