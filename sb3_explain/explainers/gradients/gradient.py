"""Gradient: the magnitude of the score's derivative (Simonyan et al., 2013)."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import attribute_with_captum, find_whole_keys
from sb3_explain.explainers.requirements import needs_numbers
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("gradient")
class Gradient(Explainer):
    """The magnitude of the gradient: ``|d score of the target / d observation|``, by Captum.

    It costs one forward pass and one backward pass. Categories have no gradient, and get 0.

    >>> from sb3_explain import Gradient
    >>> attributions = Gradient(agent).attribute(states.observations([0, 1]))
    >>> attributions.shape, bool((attributions >= 0).all())
    (torch.Size([2, 4]), True)

    :param agent: agent to explain
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    """

    name = "gradient"
    unsupported = staticmethod(needs_numbers)

    @property
    def left_out(self) -> Collection[str]:
        return find_whole_keys(self.agent.categories.looked_up)

    @property
    def forwards_per_state(self) -> int:
        return 1

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        from captum.attr import Saliency

        return attribute_with_captum(Saliency, batch)
