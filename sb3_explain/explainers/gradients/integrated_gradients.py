"""Integrated gradients: gradients along the straight line from a baseline to the state."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import Observations
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.additive import AdditiveExplainer
from sb3_explain.explainers.gradients.attributions import attribute_with_captum, find_whole_keys
from sb3_explain.explainers.requirements import needs_continuous
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES


@EXPLAINERS.register("integrated_gradients")
class IntegratedGradients(AdditiveExplainer):
    """(s - r) * the mean gradient between r and s, signed; Sundararajan et al. (2017), equation 1.

    Captum approximates the integral by a Gauss-Legendre sum of ``n_steps`` points, which costs as
    many forward passes and backward passes. The attributions of a state add up to the score of the
    target on the state less that on the baseline, except for the error of the approximation, see
    :meth:`convergence_delta`. Categories, bits and masks stay as they are on the line, and get 0.

    >>> from sb3_explain import IntegratedGradients
    >>> explainer = IntegratedGradients(agent, baseline="mean", states=states)
    >>> observations = states.observations([0, 1])
    >>> explainer.attribute(observations).shape
    torch.Size([2, 4])
    >>> bool((explainer.convergence_delta(observations).abs() < 1e-4).all())
    True

    :param agent: agent to explain
    :param baseline: name of the baseline r, or a function from observations to their replacement;
        the ``"background"`` of ``states`` when not given, or black (0) if there are no states
    :param states: states that a baseline given by name is fitted on
    :param n_steps: number of points of the sum, at least 1
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: for an unknown baseline, or one that has to be fitted without states
    """

    name = "integrated_gradients"
    takes_baseline = True
    unsupported = staticmethod(needs_continuous)

    def __init__(
        self,
        agent: Agent,
        *,
        baseline: str | Replacement | None = None,
        states: StateDataset | None = None,
        n_steps: int = 50,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if n_steps < 1:
            raise ExplainError(f"n_steps={n_steps}: give at least 1 step")
        self.baselines = make_baselines(agent, baseline, states)
        self.n_steps = n_steps

    @property
    def left_out(self) -> Collection[str]:
        return find_whole_keys(self.agent.categories.held)

    @property
    def forwards_per_state(self) -> int:
        return self.n_steps

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        from captum import attr

        return attribute_with_captum(
            attr.IntegratedGradients,
            batch,
            baselines=tuple(self._replaced(batch).values()),
            n_steps=self.n_steps,
            internal_batch_size=max(self.chunk(batch), len(batch)),
        )

    def convergence_delta(
        self,
        observations: Observations,
        target: TargetLike = None,
        *,
        policy_inputs: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Compute the error of the attributions' sum; if it is far from 0, increase ``n_steps``.

        :param observations: (B, ...) observations as :meth:`attribute` takes them
        :param target: target as :meth:`attribute` takes it
        :param policy_inputs: policy inputs as :meth:`attribute` takes them
        :return: (B,) sum of the attributions, less the score on the state less that on the
            baseline; in the unit of the scores
        """
        batch = StateBatch(self.agent, observations, target, policy_inputs)
        totals = [
            found.reshape(len(found), -1).sum(dim=1)
            for found in self.attribute_batch(batch).values()
        ]
        with torch.no_grad():
            differences = batch.target_scores(batch.by_key) - self.base_scores(batch)
        return torch.stack(totals).sum(dim=0) - differences.gather(1, batch.target[:, None])[:, 0]

    def base_scores(self, batch: StateBatch) -> Tensor:
        return batch.target_scores(self._replaced(batch))

    def _replaced(self, batch: StateBatch) -> dict[str, Tensor]:
        held = self.agent.categories.held  # between two categories there is none
        return {
            key: torch.where(
                held[key].to(observed.device), observed, self.baselines[key](observed).to(observed)
            )
            for key, observed in batch.by_key.items()
        }
