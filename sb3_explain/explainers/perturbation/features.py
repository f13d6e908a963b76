"""Features: the features of several keys side by side, to be removed one by one or in sets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch


class Features:
    """Some keys of states, flattened into (B, M) features; the other keys stay the same.

    :param batch: the states
    :param names: numbers of features of the keys to flatten
    :param baselines: baselines of removed features by key
    """

    def __init__(
        self, batch: StateBatch, names: Mapping[str, int], baselines: Mapping[str, Baseline]
    ) -> None:
        self.batch = batch
        self.sizes = dict(names)
        n_rows = len(batch)
        states = [batch.by_key[name].reshape(n_rows, -1) for name in self.sizes]
        replaced = [baselines[name](batch.by_key[name]).reshape(n_rows, -1) for name in self.sizes]
        #: (B, M) features of the states
        self.states = torch.cat(states, dim=1)
        #: (B, M) baselines of the features
        self.replaced = torch.cat(replaced, dim=1)

    def target_scores(self, rows: Tensor, states: Tensor) -> Tensor:
        """Compute the scores (R, C) of all targets.

        :param rows: (R, M) features of perturbed copies
        :param states: (R,) index of the state that each row is a copy of
        """
        return self.batch.target_scores(self._by_key(rows), states)

    def by_key(self, values: Tensor) -> dict[str, Tensor]:
        """Turn values (B, M) of the features into attributions by key; other keys get 0."""
        valued = self._by_key(values)
        return {
            name: valued[name] if name in valued else torch.zeros_like(observed)
            for name, observed in self.batch.by_key.items()
        }

    def _by_key(self, rows: Tensor) -> dict[str, Tensor]:
        parts = torch.split(rows, list(self.sizes.values()), dim=1)
        shapes = {name: self.batch.by_key[name].shape[1:] for name in self.sizes}
        return {
            name: part.reshape(len(part), *shapes[name])
            for name, part in zip(self.sizes, parts, strict=True)
        }
