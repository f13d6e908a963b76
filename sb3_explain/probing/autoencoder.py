"""The variational autoencoder over an agent's observations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sb3_explain.envs.spaces import is_image_shape
from sb3_explain.probing.codecs import CODECS, VectorCodec

ByKey = dict[str, Tensor]

#: of codes before training, about: noise as wide as the prior would hide what there is to learn
START_LOG_STD = -3.0


class Gaussian(NamedTuple):
    """Codes of states: a normal distribution of each, independent by dimension.

    :param mean: (B, n)
    :param log_std: (B, n)
    """

    mean: Tensor
    log_std: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """(B, n) mean + std * noise."""
        return self.mean + self.log_std.exp() * noise

    def divergence(self) -> Tensor:
        """(B,) KL to the standard normal distribution, in nats, summed over the dimensions."""
        squares = self.mean.square() + (2 * self.log_std).exp()
        return (squares - 1 - 2 * self.log_std).sum(dim=1) / 2


class MeanState(nn.Module):
    """What a key is on average, so that only differences from it are encoded and drawn.

    :param shape: of the key
    :param bounded: between 0 and 1: what is drawn is a sigmoid
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...], *, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded
        self.register_buffer("mean", torch.full(shape, 0.5 if bounded else 0.0))
        self.register_buffer("deviation", torch.ones(()))

    def contrast(self, observed: Tensor) -> Tensor:
        """(B, ...) the difference from the mean state, in standard deviations.

        A game's moving objects are a small part of its frames: next to the background, an encoder
        that is given both hardly sees them.
        """
        return (observed - self.mean) / self.deviation

    def drawn(self, difference: Tensor) -> Tensor:
        """(B, ...) the key, from what a decoder says on top of the mean state."""
        if not self.bounded:
            return difference + self.mean
        return (difference + self.mean.clamp(0.002, 0.998).logit()).sigmoid()


class Autoencoder(nn.Module):
    """Encoder f(s) = (mean, deviation <= 1) and decoder g(z) of one code for all keys.

    Keys are taken and given in units in which they are about 1 (see :class:`Units`): those with
    bounds in [0, 1], the others with mean 0 and deviation 1.

    :param shapes: of the keys, by name
    :param bounded: keys with bounds: what is decoded is a sigmoid
    :param latent: n, dimensions of the code
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

    def mean_state(self, name: str) -> MeanState:
        """The average of a key."""
        mean = self.means[list(self.shapes).index(name)]
        assert isinstance(mean, MeanState)
        return mean

    def encode(self, by_key: ByKey) -> Gaussian:
        """Codes of states."""
        features = []
        for codec, (name, shape) in zip(self.codecs, self.shapes.items(), strict=True):
            observed = self.mean_state(name).contrast(by_key[name])
            observed = observed if is_image_shape(shape) else observed.flatten(1)
            features.append(codec.encode(observed))  # type: ignore[operator]
        mean, raw = self.to_code(torch.cat(features, dim=1)).float().chunk(2, dim=1)
        # At its best no code is wider than the prior; wider ones would only drown the others.
        return Gaussian(mean, functional.logsigmoid(raw))

    def decode(self, codes: Tensor) -> ByKey:
        """States of codes (B, n)."""
        parts = torch.split(self.from_code(codes), self.n_decoded, dim=1)
        decoded = {}
        for codec, part, (name, shape) in zip(self.codecs, parts, self.shapes.items(), strict=True):
            difference = codec.decode(part).float().reshape(-1, *shape)  # type: ignore[operator]
            decoded[name] = self.mean_state(name).drawn(difference)
        return decoded

    def forward(self, by_key: ByKey, noise: Tensor | None = None) -> tuple[ByKey, Gaussian]:
        """States as they are reconstructed, and their codes.

        :param by_key: (B, ...) by name
        :param noise: (B, n) standard normal; none to decode the means
        """
        code = self.encode(by_key)
        return self.decode(code.mean if noise is None else code.draw(noise)), code


class Units(nn.Module):
    """What a key is divided by, and what is taken off before.

    :param low: (...) taken off
    :param extent: (...) divided by
    """

    low: Tensor
    extent: Tensor

    def __init__(self, low: Tensor, extent: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("extent", extent)

    def into(self, observed: Tensor) -> Tensor:
        """From the agent's range."""
        return ((observed - self.low) / self.extent).to(self.low.dtype)

    def out_of(self, observed: Tensor) -> Tensor:
        """Into the agent's range."""
        return observed * self.extent + self.low


class StateNetwork(nn.Module):
    """An autoencoder with the units that it works in, so that both are trained and kept together.

    :param autoencoder: takes and gives keys in its own units
    :param units: of each key
    """

    spread: Tensor

    def __init__(self, autoencoder: Autoencoder, units: Mapping[str, Units]) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.names = list(units)
        self.units = nn.ModuleList(units.values())
        #: standard deviation of the agent's scores over states, mean over the scores
        self.register_buffer("spread", torch.ones(()))

    def units_of(self, name: str) -> Units:
        """The units of a key."""
        units = self.units[self.names.index(name)]
        assert isinstance(units, Units)
        return units

    def into(self, by_key: Mapping[str, Tensor]) -> ByKey:
        """Keys in the autoencoder's units."""
        return {name: self.units_of(name).into(by_key[name]) for name in self.names}

    def out_of(self, by_key: Mapping[str, Tensor]) -> ByKey:
        """Keys in the agent's range."""
        return {name: self.units_of(name).out_of(by_key[name]) for name in self.names}

    def forward(self, by_key: ByKey, noise: Tensor | None = None) -> tuple[ByKey, Gaussian]:
        """See :meth:`Autoencoder.forward`."""
        drawn: tuple[ByKey, Gaussian] = self.autoencoder(by_key, noise)
        return drawn
