"""SmoothGrad: the gradient's magnitude, averaged over noisy copies of the state."""

from __future__ import annotations

import zlib
from collections.abc import Collection

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.attributions import attribute_with_captum, find_whole_keys
from sb3_explain.explainers.requirements import needs_continuous
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES


@EXPLAINERS.register("smoothgrad")
class SmoothGrad(Explainer):
    """The mean of |d score of the target / d s| at s + sigma * range * noise, at least 0.

    Smilkov et al. (2017), with the mean of magnitudes instead of signed gradients, so that slopes
    of opposite signs do not cancel. The gradients are Captum's. The noise is not: Captum's
    NoiseTunnel draws it for a whole batch from the global random state, while here it is a function
    of the state and the seed, so that attributions do not depend on the other states. Categories,
    bits and masks stay as they are.

    >>> from sb3_explain import SmoothGrad
    >>> explainer = SmoothGrad(agent, n_samples=10)
    >>> attributions = explainer.attribute(states.observations([0, 1]))
    >>> attributions.shape, explainer.forwards_per_state
    (torch.Size([2, 4]), 10)

    :param agent: agent to explain
    :param sigma: standard deviation of the noise, in units of each feature's range (1 if the range
        is unbounded)
    :param n_samples: number of noisy copies of a state; each costs one forward pass and one
        backward pass
    :param seed: random seed of the noise
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    """

    name = "smoothgrad"
    unsupported = staticmethod(needs_continuous)

    def __init__(
        self,
        agent: Agent,
        *,
        sigma: float = 0.15,
        n_samples: int = 50,
        seed: int = 0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if n_samples < 1 or sigma < 0:
            raise ExplainError(
                f"n_samples={n_samples}, sigma={sigma}: give at least 1 sample and no negative "
                "sigma"
            )
        self.sigma = sigma
        self.n_samples = n_samples
        self.seed = seed

    @property
    def left_out(self) -> Collection[str]:
        return find_whole_keys(self.agent.categories.looked_up)

    @property
    def forwards_per_state(self) -> int:
        return self.n_samples

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        states = [self._explain_state(batch, number) for number in range(len(batch))]
        return {
            name: torch.stack([attributions[name] for attributions in states])
            for name in batch.by_key
        }

    def _explain_state(self, batch: StateBatch, number: int) -> dict[str, Tensor]:
        from captum.attr import Saliency

        state = {name: observed[number] for name, observed in batch.by_key.items()}
        sigmas = batch.split_keys(self.sigma * batch.get_extent()[None])
        stored = b"".join(
            observed.cpu().contiguous().numpy().tobytes() for observed in state.values()
        )
        generator = torch.Generator().manual_seed(zlib.crc32(stored) ^ self.seed)
        totals = {name: torch.zeros_like(observed) for name, observed in state.items()}
        for first in range(0, self.n_samples, self.chunk(batch)):
            n_copies = min(self.chunk(batch), self.n_samples - first)
            copies = add_noise(state, sigmas, n_copies, generator)
            numbers = torch.full((n_copies,), number, device=batch.device)
            for name, slopes in attribute_with_captum(Saliency, batch, copies, numbers).items():
                totals[name] += slopes.sum(dim=0)
        return {name: total / self.n_samples for name, total in totals.items()}


def add_noise(
    state: dict[str, Tensor],
    sigmas: dict[str, Tensor],
    n_copies: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Make copies of one state with normal noise.

    The noise is drawn copy by copy, since one long draw gives other numbers than several short
    draws.

    :param state: (...) observations by key
    :param sigmas: (1, ...) standard deviations by key
    :param n_copies: number of copies n
    :param generator: source of the noise
    :return: (n, ...) noisy observations by key
    """
    draws = [
        {name: torch.randn(observed.shape, generator=generator) for name, observed in state.items()}
        for _ in range(n_copies)
    ]
    return {
        name: observed + sigmas[name] * torch.stack([draw[name] for draw in draws]).to(observed)
        for name, observed in state.items()
    }
