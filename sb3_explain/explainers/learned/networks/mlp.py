"""The mask network for vector observations."""

from __future__ import annotations

from torch import Tensor, nn

from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.networks.blocks import EMPTY, Standardize


@NETWORKS.register("mlp")
class Mlp(nn.Module):
    """Two hidden layers over the features of a vector, which may have any scale.

    :param n_in: number of features D
    :param n_out: number of logits: masks times features
    :param width: number of units in a hidden layer
    :param bias: initial logit of every mask
    """

    def __init__(self, n_in: int, n_out: int, width: int = 128, bias: float = EMPTY) -> None:
        super().__init__()
        self.standardize = Standardize(n_in)
        head = nn.Linear(width, n_out)
        nn.init.constant_(head.bias, bias)
        self.layers = nn.Sequential(
            nn.Linear(n_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), head
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn vectors (B, n_in) into logits (B, n_out)."""
        logits: Tensor = self.layers(self.standardize(vectors))
        return logits
