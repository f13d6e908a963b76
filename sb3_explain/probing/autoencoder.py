"""The variational autoencoder over an agent's observations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import is_image_shape, spaces_by_key
from sb3_explain.probing.codecs import CODECS, VectorCodec

ByKey = dict[str, Tensor]

#: log standard deviation of codes before training, about; wider noise would hide the codes
START_LOG_STD = -3.0


class Gaussian(NamedTuple):
    """Normal distributions of the codes of B states, with independent dimensions.

    :param mean: (B, n) means
    :param log_std: (B, n) logarithms of the standard deviations
    """

    mean: Tensor
    log_std: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Return codes (B, n), mean + std * noise, for standard normal noise (B, n)."""
        return self.mean + self.log_std.exp() * noise

    def divergence(self) -> Tensor:
        """Return KL(code || N(0, I)), (B,), in nats, summed over the dimensions."""
        squares = self.mean.square() + (2 * self.log_std).exp()
        return (squares - 1 - 2 * self.log_std).sum(dim=1) / 2


class MeanState(nn.Module):
    """The average of an observation's key, from which differences are encoded and decoded.

    :param shape: shape of the key
    :param bounded: whether the key lies between 0 and 1, so that what is decoded is a sigmoid
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...], *, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded
        self.register_buffer("mean", torch.full(shape, 0.5 if bounded else 0.0))
        self.register_buffer("deviation", torch.ones(()))

    def standardize(self, observed: Tensor) -> Tensor:
        """Return the difference from the mean state, in standard deviations.

        A game's moving objects are a small part of its frames: next to the background, an encoder
        that is given both hardly sees them.

        :param observed: (B, ...)
        :return: (B, ...)
        """
        return (observed - self.mean) / self.deviation

    def restore(self, difference: Tensor) -> Tensor:
        """Return the key, (B, ...), from a decoder's difference from the mean state, (B, ...)."""
        if not self.bounded:
            return difference + self.mean
        return (difference + self.mean.clamp(0.002, 0.998).logit()).sigmoid()


class Autoencoder(nn.Module):
    """Encoder f(s) = (mean, deviation <= 1) and decoder g(z) of one code for all keys.

    Inputs and outputs are scaled (see :class:`Units`): keys with bounds to [0, 1], the others to
    mean 0 and standard deviation 1.

    :param shapes: shapes of the keys by name
    :param bounded: names of the keys with bounds, which are decoded by a sigmoid
    :param latent: number of the code's dimensions, n
    :param codec: name of the codec of images
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], bounded: set[str], latent: int, codec: str
    ) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        # names of keys may hold dots, which names of modules may not
        self.codecs = nn.ModuleList(
            CODECS[codec](shape) if is_image_shape(shape) else VectorCodec(math.prod(shape))
            for shape in shapes.values()
        )
        self.means = nn.ModuleList(
            MeanState(shape, bounded=name in bounded) for name, shape in shapes.items()
        )
        n_encoded = [int(codec.n_encoded) for codec in self.codecs]  # type: ignore[arg-type]
        self.n_decoded = [int(codec.n_decoded) for codec in self.codecs]  # type: ignore[arg-type]
        self.to_code = nn.Linear(sum(n_encoded), 2 * latent)
        with torch.no_grad():
            self.to_code.bias[latent:] = START_LOG_STD
        self.from_code = nn.Linear(latent, sum(self.n_decoded))

    def get_mean_state(self, name: str) -> MeanState:
        """Return the average of a key."""
        mean = self.means[list(self.shapes).index(name)]
        assert isinstance(mean, MeanState)
        return mean

    def encode(self, by_key: ByKey) -> Gaussian:
        """Return the codes of states, whose keys (B, ...) are given by name."""
        features = []
        for codec, (name, shape) in zip(self.codecs, self.shapes.items(), strict=True):
            observed = self.get_mean_state(name).standardize(by_key[name])
            observed = observed if is_image_shape(shape) else observed.flatten(1)
            features.append(codec.encode(observed))  # type: ignore[operator]
        mean, raw = self.to_code(torch.cat(features, dim=1)).float().chunk(2, dim=1)
        # No code is wider than the prior at the optimum; wider ones would only add noise.
        return Gaussian(mean, functional.logsigmoid(raw))

    def decode(self, codes: Tensor) -> ByKey:
        """Return the states of codes (B, n): their keys (B, ...) by name."""
        parts = torch.split(self.from_code(codes), self.n_decoded, dim=1)
        decoded = {}
        for codec, part, (name, shape) in zip(self.codecs, parts, self.shapes.items(), strict=True):
            difference = codec.decode(part).float().reshape(-1, *shape)  # type: ignore[operator]
            decoded[name] = self.get_mean_state(name).restore(difference)
        return decoded

    def forward(self, by_key: ByKey, noise: Tensor | None = None) -> tuple[ByKey, Gaussian]:
        """Return reconstructions of states, and their codes.

        :param by_key: keys of the states (B, ...) by name
        :param noise: (B, n) standard normal noise of the codes; the means are decoded without it
        """
        code = self.encode(by_key)
        return self.decode(code.mean if noise is None else code.draw(noise)), code


class Units(nn.Module):
    """The linear scale of a key: (observed - low) / extent.

    :param low: offset, of the key's shape
    :param extent: divisor, of the key's shape
    """

    low: Tensor
    extent: Tensor

    def __init__(self, low: Tensor, extent: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("extent", extent)

    def scale(self, observed: Tensor) -> Tensor:
        """Scale a key from the agent's range."""
        return ((observed - self.low) / self.extent).to(self.low.dtype)

    def unscale(self, observed: Tensor) -> Tensor:
        """Bring a scaled key back into the agent's range."""
        return observed * self.extent + self.low


class StateNetwork(nn.Module):
    """An autoencoder with the units that it works in, so that both are saved together.

    :param autoencoder: autoencoder of scaled keys
    :param units: units of each key by name
    """

    spread: Tensor

    def __init__(self, autoencoder: Autoencoder, units: Mapping[str, Units]) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.names = list(units)
        self.units = nn.ModuleList(units.values())
        #: standard deviation of the agent's scores over states, the mean over the scores
        self.register_buffer("spread", torch.ones(()))

    def get_units(self, name: str) -> Units:
        """Return the units of a key."""
        units = self.units[self.names.index(name)]
        assert isinstance(units, Units)
        return units

    def scale(self, by_key: Mapping[str, Tensor]) -> ByKey:
        """Scale keys from the agent's range to the autoencoder's units."""
        return {name: self.get_units(name).scale(by_key[name]) for name in self.names}

    def unscale(self, by_key: Mapping[str, Tensor]) -> ByKey:
        """Bring keys from the autoencoder's units back into the agent's range."""
        return {name: self.get_units(name).unscale(by_key[name]) for name in self.names}

    def forward(self, by_key: ByKey, noise: Tensor | None = None) -> tuple[ByKey, Gaussian]:
        """Return reconstructions and codes, see :meth:`Autoencoder.forward`."""
        drawn: tuple[ByKey, Gaussian] = self.autoencoder(by_key, noise)
        return drawn


def make_units(agent: Agent) -> dict[str, tuple[Units, bool]]:
    """Return each key's units before any are fitted, and whether the key has bounds.

    :param agent: agent whose observations have these keys
    """
    units = {}
    for name, space in spaces_by_key(agent.observation_space).items():
        shape, bounded = agent.layout.shapes[name], is_bounded(space)
        low, high = torch.zeros(shape), torch.ones(shape)
        if bounded:
            assert isinstance(space, spaces.Box)
            low, high = (
                agent.layout.arrange_key(name, torch.from_numpy(np.float32(bound)))
                for bound in (space.low, space.high)
            )
        units[name] = Units(low, high - low), bounded
    return units


def is_bounded(space: spaces.Space[Any]) -> bool:
    """Whether all features of a key lie between bounds that the space states."""
    if isinstance(space, spaces.MultiBinary):
        return False
    assert isinstance(space, spaces.Box)
    extent = space.high.astype(np.float64) - space.low.astype(np.float64)
    return bool(np.isfinite(extent).all() and (extent > 0).all() and extent.max() < 1e6)
