"""Gradient: the magnitude of the score's derivative (Simonyan et al., 2013)."""

from __future__ import annotations

from captum.attr import Saliency
from torch import Tensor

from sb3_explain.explainers.base import Explainer
from sb3_explain.registry import EXPLAINERS


@EXPLAINERS.register("gradient")
class Gradient(Explainer):
    """|d score of the target / d observation|, by Captum. One agent pass and one backward pass."""

    name = "gradient"

    def attribute(self, observations: Tensor, target: Tensor | int | None = None) -> Tensor:
        inputs = observations.detach().float().requires_grad_()
        maps: Tensor = Saliency(self.agent.scores).attribute(
            inputs, target=self.targets(observations, target)
        )
        return maps.detach()
