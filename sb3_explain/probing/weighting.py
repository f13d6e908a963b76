"""Where a reconstruction has to be right: the weighting of L_p (Rupprecht et al. 2019, eq. 2)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import are_images
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.explainers.make import make_explainer
from sb3_explain.explainers.requirements import find_removal
from sb3_explain.states.batch import StateBatch

#: side of the mean filter over an image's weights, in pixels, in pixels
BLUR = 5
UNIFORM, SALIENCY = "uniform", "saliency"


class Weighting:
    """Weights of the features of a state, with mean 1 over each key.

    They are |attribution| over its L1 norm; of images, blurred by a 5x5 mean filter. A share of the
    weight is spread evenly, since what has no weight at all would not be drawn.

    :param agent: the agent whose attributions are the weights
    :param name: ``"saliency"`` (guided backpropagation as in the paper; the gradient, of an agent
        without ReLU modules), ``"uniform"``, or the name of an explainer that needs no fitting
    :param uniform_share: share of the weight that is spread evenly, in [0, 1]; the paper has 0
    :raises ExplainError: for a share out of range, an explainer that has to be fitted, or one that
        does not support the agent
    """

    def __init__(self, agent: Agent, name: str = SALIENCY, uniform_share: float = 0.1) -> None:
        if not 0 <= uniform_share <= 1:
            raise ExplainError(f"uniform_share={uniform_share}: it is a share of the weight")
        self.uniform_share = uniform_share
        name = find_saliency(agent) if name == SALIENCY else name
        if name != UNIFORM and issubclass(EXPLAINERS[name], FittedExplainer):
            raise ExplainError(f"the weighting {name!r} would have to be fitted: choose another")
        self.explainer = None if name == UNIFORM else make_explainer(name, agent)

    def __call__(self, batch: StateBatch, extents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of all features, (B, ...) by key.

        :param batch: B states
        :param extents: units of each key, by which its attribution is multiplied, so that a
            feature's weight does not depend on its unit
        """
        if self.explainer is None:
            return {name: observed.new_ones(()) for name, observed in batch.by_key.items()}
        attributions = self.explainer.attribute_batch(batch)
        return {name: self._weights(map * extents[name]) for name, map in attributions.items()}

    def _weights(self, attribution: Tensor) -> Tensor:
        weights = attribution.abs()
        if are_images(weights):
            weights = functional.avg_pool2d(
                weights, BLUR, stride=1, padding=BLUR // 2, count_include_pad=False
            )
        mean = weights.flatten(1).mean(dim=1).view(-1, *[1] * (weights.dim() - 1))
        # a state in which nothing matters has no saliency to go by
        relative = (weights / mean).where(mean > 0, 1.0)
        return (1 - self.uniform_share) * relative + self.uniform_share


def find_saliency(agent: Agent) -> str:
    """Return the explainer whose attributions are the paper's weights, or what is nearest to it."""
    for name in ("guided_backprop", "gradient"):
        if EXPLAINERS[name].unsupported(agent) is None:
            return name
    return find_removal(agent)
