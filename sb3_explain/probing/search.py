"""The search for states of interest among a generator's codes (Rupprecht et al., eq. 4, 5)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.checkpoints import pack
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import SINGLE
from sb3_explain.explainers.learned.fitted import below
from sb3_explain.probing.autoencoder import Gaussian
from sb3_explain.probing.distance import Neighbors, nearest_states, share_different
from sb3_explain.probing.generator import PASS, StateGenerator
from sb3_explain.probing.prior import STATES, Prior, make_prior, require_prior
from sb3_explain.probing.targets import (
    BETA,
    Outputs,
    Target,
    make_target,
    outputs_of,
    require_comparable,
)
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: of two states that differ by less than this share of what random states differ by, the worse one
#: is merged
SAME = 0.1
#: codes of the prior among which starts are chosen, at least
CANDIDATES = 4096
#: draws of each code at the end, of which the best is kept
DRAWS = 8


@dataclass(frozen=True)
class Probe:
    """What :func:`probe` found.

    :param target: its name
    :param states: (m, ...) synthesised observations in the agent's range, best first, or a dict of
        such
    :param energy: (m,) of the target on each, in its own units: the less, the better
    :param scores: (m, K) the agent's scores of each
    :param values: (m,) its values; NaN of an agent that has none
    :param codes: (m, latent) that the states are decoded from
    :param counts: (m,) samples that came out as this state; their sum is n
    :param path: (steps + 1, n) energy of every sample on its way, noise included
    :param nearest: the training state nearest to each, where states were given
    """

    target: str
    states: Any
    energy: NDArray[np.float64]
    scores: Tensor
    values: Tensor
    codes: Tensor
    counts: NDArray[np.int64]
    path: NDArray[np.float64]
    nearest: Neighbors | None

    @property
    def n_merged(self) -> int:
        """Samples that were duplicates of a better one."""
        return int(self.counts.sum() - len(self.counts))

    def tensors(self) -> dict[str, Tensor]:
        """All of it but the target, to be kept in a file."""
        states = self.states if isinstance(self.states, dict) else {SINGLE: self.states}
        arrays = {"energy": self.energy, "counts": self.counts, "path": self.path}
        if self.nearest is not None:
            arrays |= self.nearest._asdict()
        return {
            **{f"states.{name}": pack(observed) for name, observed in states.items()},
            **{name: torch.from_numpy(array).contiguous() for name, array in arrays.items()},
            "scores": pack(self.scores),
            "values": pack(self.values),
            "codes": pack(self.codes),
        }

    @classmethod
    def of(cls, target: str, tensors: dict[str, Tensor]) -> Probe:
        """What :meth:`tensors` gave.

        :raises KeyError: if something is missing
        """
        states = below("states.", tensors)
        nearest = None
        if "positions" in tensors:
            nearest = Neighbors(tensors["positions"].numpy(), tensors["distance"].numpy())
        return cls(
            target=target,
            states=states.get(SINGLE, states),
            energy=tensors["energy"].numpy(),
            scores=tensors["scores"],
            values=tensors["values"],
            codes=tensors["codes"],
            counts=tensors["counts"].numpy(),
            path=tensors["path"].numpy(),
            nearest=nearest,
        )


@check_arguments
def probe(
    generator: StateGenerator,
    target: str | Callable[..., Tensor],
    n_samples: int = 64,
    *,
    steps: int = 200,
    prior: str = STATES,
    prior_weight: float = 0.03,
    learning_rate: float = 0.02,
    beta: float = BETA,
    action: int | str | None = None,
    other: Agent | None = None,
    states: StateDataset | None = None,
    seed: int = 0,
    max_seconds: float = math.inf,
    progress: bool = True,
) -> Probe:
    """Synthesise states of interest: minimise T(A(g(x, z))) + prior_weight * KL(x, prior).

    x = (mean, deviation) of a code, z standard normal noise that is drawn anew at every step. All
    samples are one batch and go their own ways, by Adam. What is returned is decoded from the best
    of eight draws of each x: where the target does not mind, x stays wide, and the states differ. T
    counts in its standard deviations over random codes, KL in nats, so that ``prior_weight`` means
    the same for every target and agent.

    What is minimised approximates the density prior(x) exp(-T / prior_weight). A search that begins
    anywhere ends in the nearest optimum, so it begins at draws of that density: of 4096 codes of
    the prior each is taken with probability proportional to exp(-T / prior_weight), at most once.

    :param generator: fitted to the states of the agent that is asked
    :param target: a name of :data:`~sb3_explain.probing.targets.TARGETS`, ``"action:NAME"``, or a
        function from :class:`~sb3_explain.probing.targets.Outputs` to (B,) energies that are small
        where a state is of interest
    :param n_samples: number of samples
    :param steps: of the search
    :param prior: ``"states"`` to stay near the codes of training states, ``"normal"`` for N(0, I)
        as in the paper; see :mod:`sb3_explain.probing.prior`
    :param prior_weight: alpha; 0 to leave the regulariser out
    :param learning_rate: of Adam
    :param beta: sharpness of the soft maximum, per standard deviation of the scores over states
    :param action: index or name of the target that an action's target is about
    :param other: a second agent with the same observations and actions, for ``"disagreement"``
    :param states: that the generator learned from, to find the nearest one of each result
    :param seed: of the first codes and of the noise
    :param max_seconds: the search ends earlier if it would take longer; how far it comes then
        depends on the machine
    :param progress: show a bar
    :raises ExplainError: for an unknown target, one that the agent cannot support, or a generator
        of another agent
    """
    began = time.perf_counter()
    generator.require_fitted()
    if other is not None:
        require_comparable(generator.agent, other)
    require_search(n_samples, steps, prior, prior_weight, learning_rate, beta)
    agent = generator.agent
    sharpness = beta / float(generator.network.spread)
    energy = Energy(generator, make_target(target, agent, action=action, beta=sharpness), other)
    name = target if isinstance(target, str) else getattr(target, "__name__", "target")
    chance = torch.Generator().manual_seed(seed)
    regularizer = make_prior(prior, generator.codes)

    def noise() -> Tensor:
        drawn = torch.randn(n_samples, generator.settings.latent, generator=chance)
        return drawn.to(agent.device)

    starts = chosen_starts(regularizer, energy, n_samples, prior_weight, chance)
    mean, log_std = (part.clone().requires_grad_() for part in starts.code)
    optimizer = torch.optim.Adam([mean, log_std], lr=learning_rate)
    path = np.zeros((steps + 1, n_samples))
    with progress_bar(f"probing {name}", steps, "steps", progress) as bar:
        for step in range(steps):
            if time.perf_counter() - began > max_seconds:
                path = path[: step + 1]
                break
            code = Gaussian(mean, log_std)
            interest = energy(code.draw(noise()))
            loss = interest / starts.scale + prior_weight * regularizer.divergence(code)
            # the sum: every sample has the gradient of its own energy alone
            mean.grad, log_std.grad = torch.autograd.grad(loss.sum(), [mean, log_std])
            optimizer.step()
            path[step] = interest.detach().cpu().numpy()
            bar.update()
    drawn = best_draws(energy, Gaussian(mean.detach(), log_std.detach()), noise)
    return result(name, energy, drawn, path, states, SAME * starts.apart)


class Starts(NamedTuple):
    """Where a search begins, and what is usual there."""

    #: (n, latent)
    code: Gaussian
    #: standard deviation of the energy over random codes
    scale: float
    #: share of the pixels in which states of random codes differ from one another
    apart: float


@torch.no_grad()
def chosen_starts(
    prior: Prior, energy: Energy, n: int, prior_weight: float, chance: torch.Generator
) -> Starts:
    """n codes of many, with probability proportional to exp(-T / prior_weight)."""
    device, decode = energy.agent.device, energy.generator.decode
    starts = Gaussian(*(part.to(device) for part in prior.starts(max(CANDIDATES, 2 * n), chance)))
    energies = torch.cat([energy(codes) for codes in torch.split(starts.mean, PASS)]).cpu()
    scale = float(energies.std())
    scale = scale if np.isfinite(scale) and scale > 0 else 1.0
    some, others = decode(starts.mean[:n]), decode(starts.mean[n : 2 * n])
    apart = float(share_different(energy.generator, some, others).mean())
    # The n largest of log-probabilities with Gumbel noise are draws without replacement.
    gumbel = -torch.log(-torch.log(torch.rand(len(energies), generator=chance).clamp_min(1e-30)))
    chosen = (prior_weight * gumbel - energies / scale).topk(n).indices.to(device)
    return Starts(Gaussian(starts.mean[chosen], starts.log_std[chosen]), scale, apart)


class Energy:
    """A target as a function of codes, differentiably.

    :param generator: decodes them
    :param target: of the agent's outputs
    :param other: a second agent that is asked about the same states
    """

    def __init__(self, generator: StateGenerator, target: Target, other: Agent | None) -> None:
        self.generator = generator
        self.agent = generator.agent
        self.target = target
        self.other = other

    def outputs(self, states: Any) -> Outputs:
        """What the agents say about states."""
        return outputs_of(self.agent, states, self.other)

    def __call__(self, codes: Tensor) -> Tensor:
        """(B,) energies of codes (B, latent)."""
        energies = self.target(self.outputs(self.generator.decode(codes)))
        if energies.shape != codes.shape[:1]:
            raise ExplainError(
                f"the target gave shape {tuple(energies.shape)} for {len(codes)} states: it has "
                "to give one energy each"
            )
        if not bool(energies.isfinite().all()):
            n_odd = int((~energies.isfinite()).sum())
            raise ExplainError(
                f"the target is not finite for {n_odd} of {len(codes)} states: mend its function, "
                "or search less far (a larger prior_weight, a smaller learning_rate)"
            )
        return energies


@torch.no_grad()
def best_draws(energy: Energy, code: Gaussian, noise: Callable[[], Tensor]) -> Tensor:
    """(n, latent) of each code the draw of the lowest energy."""
    draws = torch.stack([code.draw(noise()) for _ in range(DRAWS)])
    energies = torch.stack([energy(drawn) for drawn in draws])
    chosen = energies.argmin(dim=0)
    return draws[chosen, torch.arange(len(chosen), device=chosen.device)]


@torch.no_grad()
def result(
    name: str,
    energy: Energy,
    codes: Tensor,
    path: NDArray[np.float64],
    states: StateDataset | None,
    same: float,
) -> Probe:
    """The states of codes, best first, without duplicates."""
    decoded = energy.generator.decode(codes)
    outputs = energy.outputs(decoded)
    final = energy.target(outputs)
    path[-1] = final.cpu().numpy()
    order = final.argsort(stable=True)
    counts = merge(energy.generator, taken(decoded, order), same)
    kept = order[torch.from_numpy(counts > 0).to(order.device)]
    found = taken(decoded, kept)
    return Probe(
        target=name,
        states=found,
        energy=final[kept].double().cpu().numpy(),
        scores=outputs.scores[kept].cpu(),
        values=outputs.values[kept].cpu(),
        codes=codes[kept].cpu(),
        counts=counts[counts > 0],
        path=path,
        nearest=None if states is None else nearest_states(energy.generator, found, states),
    )


def merge(generator: StateGenerator, states: Any, same: float) -> NDArray[np.int64]:
    """(B,) how many states each one stands for; 0 for one that an earlier one stands for.

    :param states: (B, ...) observations, the one to be kept first
    :param same: share of the pixels in which duplicates may differ
    """
    n = len(StateBatch(generator.agent, states))
    counts = np.ones(n, dtype=np.int64)
    for first in range(n):
        later = np.flatnonzero(counts[first + 1 :]) + first + 1
        if counts[first] and len(later):
            here, there = torch.full((len(later),), first), torch.from_numpy(later)
            shares = share_different(generator, taken(states, here), taken(states, there))
            equal = later[(shares <= same).cpu().numpy()]
            counts[first] += len(equal)
            counts[equal] = 0
    return counts


def taken(states: Any, positions: Tensor) -> Any:
    """Some of the observations."""
    if isinstance(states, dict):
        return {name: observed[positions.to(observed.device)] for name, observed in states.items()}
    return states[positions.to(states.device)]


def require_search(
    n_samples: int = 1,
    steps: int = 1,
    prior: str = STATES,
    prior_weight: float = 0.0,
    learning_rate: float = 1.0,
    beta: float = 1.0,
) -> None:
    """:raises ExplainError: if options of :func:`probe` are out of range"""
    require_prior(prior)
    counts = isinstance(n_samples, Integral) and isinstance(steps, Integral)
    counts = counts and min(n_samples, steps) >= 1
    if not counts or not (0 <= prior_weight < np.inf and learning_rate > 0 and beta > 0):
        raise ExplainError(
            f"n_samples={n_samples}, steps={steps}, prior_weight={prior_weight}, "
            f"learning_rate={learning_rate}, beta={beta}: give whole numbers of "
            "samples and steps, positive numbers, and no negative weight"
        )
