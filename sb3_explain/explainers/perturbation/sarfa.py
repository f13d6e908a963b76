"""SARFA: specific and relevant feature attribution (Puri et al., ICLR 2020)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from sb3_explain.agents.action_spaces import group_numbers, log_probabilities, target_scores
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys, find_image_keys
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.perturbation.local_blur import LocalBlur
from sb3_explain.explainers.requirements import needs_image, needs_probabilities
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, attribute_images


@EXPLAINERS.register("sarfa")
class Sarfa(Explainer):
    """S = 2 K dp / (K + dp): where a local blur harms the target action and no other action.

    dp = p(a|s) - p(a|s') is the loss of probability, and S = 0 where dp <= 0 (specific);
    K = 1 / (1 + KL), where KL is the divergence of the other actions' probabilities, renormalized
    to sum to 1 (relevant); S is their harmonic mean, in [0, 1] (Puri et al., 2020, section 3). p is
    the softmax of the scores, also of Q-values. Of several sub-actions only the target's counts.

    The forward passes are those of Greydanus: for each image one for each point of the grid, and
    one more; other keys of a Dict observation get 0.

    >>> from sb3_explain import Sarfa
    >>> attributions = Sarfa(image_agent).attribute(image_states.observations([0, 1]))
    >>> attributions.shape, bool(((attributions >= 0) & (attributions <= 1)).all())
    (torch.Size([2, 2, 24, 24]), True)

    :param agent: agent that observes images and does not have Box actions
    :param direction: ``"forward"`` for the KL divergence of the state's probabilities from those of
        the copy, or ``"reverse"``
    :param sigma: standard deviation of the blur in pixels
    :param radius: standard deviation of the mask around each grid point in pixels
    :param stride: distance of the grid points in pixels
    :param share: share of the grid points that are passed through the agent, in (0, 1]; what it
        would say at the others is predicted, see
        :class:`~sb3_explain.explainers.perturbation.local_blur.LocalBlur`
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: for an unknown direction
    """

    name = "sarfa"
    of_probability = True
    actions_only = "it compares an action's probability with those of the others"

    def __init__(
        self,
        agent: Agent,
        *,
        direction: str = "forward",
        sigma: float = 3.0,
        radius: float = 5.0,
        stride: int = 5,
        share: float = 1.0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if direction not in ("forward", "reverse"):
            raise ExplainError(f"unknown direction {direction!r} (known: forward, reverse)")
        self.direction = direction
        self.local_blur = LocalBlur(sigma, radius, stride, share)

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        return needs_image(agent) or needs_probabilities(agent)

    @property
    def left_out(self) -> Collection[str]:
        return find_feature_keys(self.agent)

    @property
    def forwards_per_state(self) -> int:
        return sum(
            self.local_blur.forwards(shape) for shape in find_image_keys(self.agent).values()
        )

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        return attribute_images(batch, lambda name, image: self._attribution(batch, name, image))

    def _attribution(self, batch: StateBatch, name: str, image: Tensor) -> Tensor:
        space = self.agent.action_space
        scores = target_scores(space, self.local_blur.scores(batch, name, self.rows(image)))
        target = batch.target[:, None, None].expand(-1, scores.shape[1], 1)
        p = log_probabilities(space, scores).gather(2, target)[..., 0].exp()
        dp = p[:, :1] - p[:, 1:]
        # the other actions of the target's group; a log-probability of 0 drops out of the KL
        groups = group_numbers(space).to(batch.device)
        others = groups == groups[batch.target, None]
        others[torch.arange(len(batch)), batch.target] = False
        log_rest = scores.masked_fill(~others[:, None], -torch.inf).log_softmax(dim=2)
        log_rest = log_rest.masked_fill(~others[:, None], 0)
        whole, blurred = log_rest[:, :1], log_rest[:, 1:]
        if self.direction == "reverse":
            whole, blurred = blurred, whole
        divergence = (whole.exp() * (whole - blurred)).sum(dim=2)
        K = 1 / (1 + divergence)
        return self.local_blur.upsample(torch.where(dp > 0, 2 * K * dp / (K + dp), 0.0), image)
