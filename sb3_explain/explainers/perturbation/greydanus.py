"""Greydanus: how much a local blur changes the agent's scores or value (Greydanus et al., 2018)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys, find_image_keys
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.perturbation.local_blur import LocalBlur
from sb3_explain.explainers.requirements import needs_image
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, attribute_images


@EXPLAINERS.register("greydanus")
class Greydanus(Explainer):
    """S = 1/2 ||z(s) - z(s')||^2 or 1/2 (V(s) - V(s'))^2 (Greydanus et al., 2018, eq. 2 and 3).

    z are the raw scores of all actions, so that the attributions are the same for every target:
    they say where the agent looks, not for which action. Of a target that is no action, z is the
    target alone; ``target="value"`` is the critic's part. For each image it costs one forward pass
    for each point of the grid, and one more; other keys of a Dict observation get 0.

    >>> from sb3_explain import Greydanus
    >>> explainer = Greydanus(image_agent)
    >>> attributions = explainer.attribute(image_states.observations([0, 1]))
    >>> attributions.shape, explainer.forwards_per_state
    (torch.Size([2, 2, 24, 24]), 26)

    :param agent: agent that observes images
    :param part: ``"actor"`` for the scores, or ``"critic"`` for the values
    :param sigma: standard deviation of the blur in pixels
    :param radius: standard deviation of the mask around each grid point in pixels
    :param stride: distance of the grid points in pixels
    :param share: share of the grid points that are passed through the agent, in (0, 1]; what it
        would say at the others is predicted, see
        :class:`~sb3_explain.explainers.perturbation.local_blur.LocalBlur`
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: for an unknown part; when explaining, if the agent has no values
    """

    name = "greydanus"

    def __init__(
        self,
        agent: Agent,
        *,
        part: str = "actor",
        sigma: float = 3.0,
        radius: float = 5.0,
        stride: int = 5,
        share: float = 1.0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if part not in ("actor", "critic"):
            raise ExplainError(f"unknown part {part!r} (known: actor, critic)")
        self.part = part
        self.local_blur = LocalBlur(sigma, radius, stride, share)

    unsupported = staticmethod(needs_image)

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
        if batch.scalar is not None:
            outputs = self.local_blur.target_scores(batch, name, self.rows(image))
        elif self.part == "critic":
            outputs = self.local_blur.values(batch, name, self.rows(image))[..., None]
            if torch.isnan(outputs).all():
                raise ExplainError(
                    "this agent has no values for greydanus to explain: use part='actor'"
                )
        else:
            outputs = self.local_blur.scores(batch, name, self.rows(image))
        distance = 0.5 * (outputs[:, :1] - outputs[:, 1:]).square().sum(dim=2)
        return self.local_blur.upsample(distance, image)
