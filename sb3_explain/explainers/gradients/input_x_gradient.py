"""Input x gradient: the features' contributions to a linear score (Shrikumar et al., 2016)."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import attribute_with_captum, find_whole_keys
from sb3_explain.explainers.requirements import needs_numbers
from sb3_explain.states.batch import StateBatch


@EXPLAINERS.register("input_x_gradient", "gradient_x_input")
class InputXGradient(Explainer):
    """s * d score of the target / ds, signed, by Captum.

    It costs one forward pass and one backward pass. The input is in the agent's raw range, that of
    an image in 0..255: black pixels get 0, even if the score depends on them.

    >>> from sb3_explain import Gradient, InputXGradient
    >>> observations = states.observations([0, 1])
    >>> slopes = Gradient(agent).attribute(observations)
    >>> attributions = InputXGradient(agent).attribute(observations)
    >>> torch.allclose(attributions.abs(), observations.abs() * slopes)
    True

    :param agent: agent to explain
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    """

    name = "input_x_gradient"
    unsupported = staticmethod(needs_numbers)

    @property
    def left_out(self) -> Collection[str]:
        return find_whole_keys(self.agent.categories.looked_up)

    @property
    def forwards_per_state(self) -> int:
        return 1

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        from captum.attr import InputXGradient

        return attribute_with_captum(InputXGradient, batch)
