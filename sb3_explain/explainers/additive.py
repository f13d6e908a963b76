"""Explainers whose attributions add up."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch


class AdditiveExplainer(Explainer):
    """Attributions of a state add up to the target's score on it, less that on the baseline."""

    @abstractmethod
    def base_scores(self, batch: StateBatch) -> Tensor:
        """Compute the scores (B, C) on the baseline, to which the attributions are added.

        :param batch: the states
        """
