"""Features: the cells of a state's keys, side by side, to be removed one by one or in sets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch


class Features:
    """Some keys of states, flattened into (B, M) features; the other keys are held.

    :param batch: the states
    :param names: keys to flatten
    :param baselines: what a removed feature becomes, by key
    """

    def __init__(
        self, batch: StateBatch, names: Mapping[str, int], baselines: Mapping[str, Baseline]
    ) -> None:
        self.batch = batch
        self.sizes = dict(names)
        n_rows = len(batch)
        states = [batch.by_key[name].reshape(n_rows, -1) for name in self.sizes]
        replaced = [baselines[name](batch.by_key[name]).reshape(n_rows, -1) for name in self.sizes]
        #: (B, M) as they are
        self.states = torch.cat(states, dim=1)
        #: (B, M) what they become
        self.replaced = torch.cat(replaced, dim=1)

    def target_scores(self, rows: Tensor, states: Tensor) -> Tensor:
        """(R, C) scores of the targets for features (R, M) of copies of ``states`` (R,)."""
        return self.batch.target_scores(self._by_key(rows), states)

    def by_key(self, values: Tensor) -> dict[str, Tensor]:
        """(B, M) values of the features as maps by key; 0 for the keys that are held."""
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
