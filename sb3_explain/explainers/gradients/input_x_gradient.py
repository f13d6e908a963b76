"""Input x gradient: the share of each cell in a score that were linear (Shrikumar et al., 2016)."""

from __future__ import annotations

from torch import Tensor

from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import attribute_with_captum
from sb3_explain.explainers.requirements import needs_numbers
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("input_x_gradient", "gradient_x_input")
class InputXGradient(Explainer):
    """s * d score of the target / ds, signed, by Captum. One forward pass and one backward pass.

    The input is in the agent's raw range: an image's in 0..255, where black gets 0 whatever it
    does.
    """

    name = "input_x_gradient"
    unsupported = staticmethod(needs_numbers)

    @property
    def forwards_per_state(self) -> int:
        return 1

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        from captum.attr import InputXGradient

        return attribute_with_captum(InputXGradient, batch)
