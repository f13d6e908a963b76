"""What stands under the keys of an observation, apart or joined to one tensor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sb3_explain.envs.spaces import SINGLE, are_images


class ByKey:
    """B states by key of the observation, which methods may ask for as one tensor as well.

    Whatever axes an agent's observations have, here pictures are (B, C, H, W), everything else is
    flat: features (B, D), categories (B,). See ``agent.layout``.
    """

    #: (B, ...) observations by key, which is empty if they are no dict
    by_key: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.by_key.values())))

    @property
    def device(self) -> torch.device:
        """Device of the observations."""
        return next(iter(self.by_key.values())).device

    @property
    def observations(self) -> Tensor:
        """(B, ...) observations; (B, N) the features of all keys of a Dict observation."""
        return self.flatten_keys(self.by_key)

    @staticmethod
    def flatten_keys(by_key: Mapping[str, Tensor]) -> Tensor:
        """Join what stands under the keys to one tensor, in the form of :attr:`observations`.

        :param by_key: (B, ...) observations, or attributions, by key
        """
        if SINGLE in by_key:
            only = by_key[SINGLE]
            return only if only.dim() > 1 else only[:, None]  # a category is one feature
        return torch.cat(
            [observed.reshape(len(observed), -1) for observed in by_key.values()], dim=1
        )

    def split_keys(self, rows: Tensor) -> dict[str, Tensor]:
        """Split a tensor into what stands under each key; the opposite of :meth:`flatten_keys`.

        :param rows: (R, ...) tensor in the form of :attr:`observations`
        :return: (R, ...) by key
        """
        if SINGLE in self.by_key:
            return {SINGLE: rows.reshape(-1, *self.by_key[SINGLE].shape[1:])}
        sizes = [observed[0].numel() for observed in self.by_key.values()]
        parts = zip(self.by_key.items(), torch.split(rows, sizes, dim=1), strict=True)
        return {name: part.reshape(-1, *observed.shape[1:]) for (name, observed), part in parts}

    def images(self) -> dict[str, Tensor]:
        """Observations (B, C, H, W) of the keys that are images."""
        return {name: seen for name, seen in self.by_key.items() if are_images(seen)}
