"""The search for states of interest among a generator's codes (Rupprecht et al. 2019, eq. 4, 5)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from operator import index
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.energies import BETA, EnergyFunction, require_comparable
from sb3_explain.agents.targets.find import find_energy
from sb3_explain.agents.targets.outputs import Outputs, read_outputs
from sb3_explain.agents.targets.running import name_function
from sb3_explain.common.checkpoints import pack
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import SINGLE
from sb3_explain.explainers.learned.fitted import select_prefix
from sb3_explain.probing.autoencoder import Gaussian
from sb3_explain.probing.distance import Neighbors, find_nearest, measure_difference
from sb3_explain.probing.generator import PASS, StateGenerator
from sb3_explain.probing.prior import STATES, Prior, make_prior, require_prior
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: two states are merged if they differ by less than this share of what random states differ by
SAME = 0.1
#: at least this many codes of the prior are candidates for the starts of a search
CANDIDATES = 4096
#: number of draws of each code at the end, of which the best is decoded
DRAWS = 8


@dataclass(frozen=True)
class Probe:
    """The outcome of :func:`probe`: m different states of interest.

    :param target: name of the target
    :param states: (m, ...) synthesised observations in the agent's range, best first, or a dict of
        such
    :param energy: (m,) the target's energy, in its own units; low is good
    :param scores: (m, K) the agent's scores
    :param values: (m,) the agent's values; NaN of an agent that has none
    :param codes: (m, latent) the codes that the states are decoded from
    :param counts: (m,) number of samples that came out as this state; their sum is ``n_samples``
    :param path: (steps + 1, n_samples) energy of every sample at each step, noise included
    :param nearest: the nearest training state of each, where states were given
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
        """Number of samples that were duplicates of a better one."""
        return int(self.counts.sum() - len(self.counts))

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything but the target as tensors by name, to be saved in a file."""
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
    def from_tensors(cls, target: str, tensors: dict[str, Tensor]) -> Probe:
        """Make a probe of what :meth:`to_tensors` returned.

        :param target: name of the target
        :param tensors: tensors by name
        :raises KeyError: if a tensor is missing
        """
        states = select_prefix("states.", tensors)
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
    n_samples: SupportsIndex = 64,  # no 64.0, which `int` would let pass
    *,
    steps: SupportsIndex = 200,
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

    x = (mean, deviation) of a code; z is standard normal noise, drawn anew at every step. The
    samples are one batch, in which Adam minimises each on its own. The states are decoded from the
    best of eight draws of each x: where the target does not mind, x stays wide, and they differ. T
    is in units of its standard deviation over random codes and KL in nats, so that ``prior_weight``
    means the same for every target and agent.

    The minimised sum approximates the density prior(x) exp(-T / prior_weight). A search ends in the
    optimum nearest to its start, so it starts at draws of that density: of 4096 codes of the prior,
    each is chosen with probability proportional to exp(-T / prior_weight), at most once.

    >>> from sb3_explain import StateGenerator, probe
    >>> generator = StateGenerator(agent, latent=4)
    >>> _ = generator.fit(train, validation, epochs=1, progress=False)
    >>> result = probe(generator, "T-", n_samples=8, steps=5, progress=False)
    >>> int(result.counts.sum()), result.states.shape[1:]
    (8, torch.Size([4]))

    :param generator: a generator fitted to the agent's states
    :param target: a name of :data:`sb3_explain.TARGETS`, ``"action:NAME"`` for an action, or a
        function from :class:`~sb3_explain.agents.targets.outputs.Outputs` to (B,) energies that
        are small where a state is of interest; another target of :mod:`sb3_explain.agents.targets`,
        such as ``"LEFT - RIGHT"``, is high in the states that are found
    :param n_samples: number of samples
    :param steps: number of steps of the search
    :param prior: ``"states"`` to stay near the codes of training states, ``"normal"`` for N(0, I)
        as in the paper; see :mod:`sb3_explain.probing.prior`
    :param prior_weight: alpha, the weight of the divergence; 0 leaves it out
    :param learning_rate: learning rate of Adam
    :param beta: sharpness of the soft maximum, per standard deviation of the scores over states
    :param action: index or name of the action, for the target ``"action"``
    :param other: a second agent with the same observations and actions, for ``"disagreement"``
    :param states: states that the generator learned from, to find the nearest one of each result
    :param seed: random seed of the first codes and of the noise
    :param max_seconds: limit in seconds after which the search ends early; its result then depends
        on the machine
    :param progress: show a progress bar
    :return: the states, best first, with the agent's outputs
    :raises ExplainError: for an unknown target, a target that the agent does not support, or a
        generator that has not been fitted
    """
    start_time = time.perf_counter()
    generator.require_fitted()
    if other is not None:
        require_comparable(generator.agent, other)
    require_search(n_samples, steps, prior, prior_weight, learning_rate, beta)
    n_samples, steps = index(n_samples), index(steps)
    agent = generator.agent
    sharpness = beta / float(generator.network.spread)
    name = target if isinstance(target, str) else name_function(target)
    found = find_energy(agent, target, action=action, beta=sharpness)
    energy = Energy(generator, name, found, other)
    rng = torch.Generator().manual_seed(seed)
    regularizer = make_prior(prior, generator.codes)

    def noise() -> Tensor:
        drawn = torch.randn(n_samples, generator.settings.latent, generator=rng)
        return drawn.to(agent.device)

    starts = choose_starts(regularizer, energy, n_samples, prior_weight, rng)
    mean, log_std = (part.clone().requires_grad_() for part in starts.code)
    optimizer = torch.optim.Adam([mean, log_std], lr=learning_rate)
    path = np.zeros((steps + 1, n_samples))
    with progress_bar(f"probing {name}", steps, "steps", progress) as bar:
        for step in range(steps):
            if time.perf_counter() - start_time > max_seconds:
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
    drawn = choose_draws(energy, Gaussian(mean.detach(), log_std.detach()), noise)
    return make_probe(name, energy, drawn, path, states, SAME * starts.apart)


class Starts(NamedTuple):
    """Where a search begins, and statistics over random codes.

    :param code: (n, latent) distributions to start from
    :param scale: standard deviation of the energy over random codes
    :param apart: mean share of the pixels in which two states of random codes differ
    """

    code: Gaussian
    scale: float
    apart: float


@torch.no_grad()
def choose_starts(
    prior: Prior, energy: Energy, n: int, prior_weight: float, rng: torch.Generator
) -> Starts:
    """Choose n codes of many, each with probability proportional to exp(-T / prior_weight)."""
    device, decode = energy.agent.device, energy.generator.decode
    starts = Gaussian(
        *(part.to(device) for part in prior.sample_starts(max(CANDIDATES, 2 * n), rng))
    )
    energies = torch.cat([energy(codes) for codes in torch.split(starts.mean, PASS)]).cpu()
    scale = float(energies.std())
    scale = scale if np.isfinite(scale) and scale > 0 else 1.0
    some, others = decode(starts.mean[:n]), decode(starts.mean[n : 2 * n])
    apart = float(measure_difference(energy.generator, some, others).mean())
    # The n largest of log-probabilities with Gumbel noise are draws without replacement.
    gumbel = -torch.log(-torch.log(torch.rand(len(energies), generator=rng).clamp_min(1e-30)))
    chosen = (prior_weight * gumbel - energies / scale).topk(n).indices.to(device)
    return Starts(Gaussian(starts.mean[chosen], starts.log_std[chosen]), scale, apart)


class Energy:
    """A target as a function of codes, differentiably.

    :param generator: generator that decodes the codes
    :param name: name of the target, for messages
    :param target: function of the agent's outputs
    :param other: second agent, for targets that compare two
    """

    def __init__(
        self, generator: StateGenerator, name: str, target: EnergyFunction, other: Agent | None
    ) -> None:
        self.generator = generator
        self.name = name
        self.agent = generator.agent
        self.target = target
        self.other = other

    def outputs(self, states: Any) -> Outputs:
        """Return the outputs of the agents for states."""
        return read_outputs(self.agent, states, self.other)

    def __call__(self, codes: Tensor) -> Tensor:
        """Return the energies (B,) of codes (B, latent).

        :raises ExplainError: if the target does not give one finite energy for each
        """
        energies = self.target(self.outputs(self.generator.decode(codes)))
        if energies.shape != codes.shape[:1]:
            raise ExplainError(
                f"the target {self.name} gave shape {tuple(energies.shape)} for {len(codes)} "
                "states: it has to give one energy each"
            )
        if not bool(energies.isfinite().all()):
            n_odd = int((~energies.isfinite()).sum())
            raise ExplainError(
                f"the target {self.name} is not finite for {n_odd} of {len(codes)} states: correct "
                "its function, or search less far (a larger prior_weight, a smaller learning_rate)"
            )
        return energies


@torch.no_grad()
def choose_draws(energy: Energy, code: Gaussian, noise: Callable[[], Tensor]) -> Tensor:
    """Return of each code the draw of the lowest energy, (n, latent)."""
    draws = torch.stack([code.draw(noise()) for _ in range(DRAWS)])
    energies = torch.stack([energy(drawn) for drawn in draws])
    chosen = energies.argmin(dim=0)
    return draws[chosen, torch.arange(len(chosen), device=chosen.device)]


@torch.no_grad()
def make_probe(
    name: str,
    energy: Energy,
    codes: Tensor,
    path: NDArray[np.float64],
    states: StateDataset | None,
    same: float,
) -> Probe:
    """Decode codes to states, best first, and merge duplicates.

    :param name: name of the target
    :param energy: the target as a function of codes
    :param codes: (n, latent)
    :param path: (steps + 1, n) energies during the search; the last row is filled in
    :param states: states that the generator learned from
    :param same: share of the pixels up to which two states are duplicates
    """
    decoded = energy.generator.decode(codes)
    outputs = energy.outputs(decoded)
    final = energy.target(outputs)
    path[-1] = final.cpu().numpy()
    order = final.argsort(stable=True)
    counts = merge(energy.generator, select(decoded, order), same)
    unique = order[torch.from_numpy(counts > 0).to(order.device)]
    selected = select(decoded, unique)
    return Probe(
        target=name,
        states=selected,
        energy=final[unique].double().cpu().numpy(),
        scores=outputs.scores[unique].cpu(),
        values=outputs.values[unique].cpu(),
        codes=codes[unique].cpu(),
        counts=counts[counts > 0],
        path=path,
        nearest=None if states is None else find_nearest(energy.generator, selected, states),
    )


def merge(generator: StateGenerator, states: Any, same: float) -> NDArray[np.int64]:
    """Count duplicates: how many states each one represents, (B,).

    :param generator: generator of such states
    :param states: (B, ...) observations, the best first, or a dict of such
    :param same: share of the pixels up to which two states are duplicates
    :return: (B,) counts, 0 for a state that an earlier one represents
    """
    n = len(StateBatch(generator.agent, states))
    counts = np.ones(n, dtype=np.int64)
    for first in range(n):
        later = np.flatnonzero(counts[first + 1 :]) + first + 1
        if counts[first] and len(later):
            here, there = torch.full((len(later),), first), torch.from_numpy(later)
            shares = measure_difference(generator, select(states, here), select(states, there))
            equal = later[(shares <= same).cpu().numpy()]
            counts[first] += len(equal)
            counts[equal] = 0
    return counts


def select(states: Any, positions: Tensor) -> Any:
    """Return the observations at some positions, of a tensor or of a dict of tensors."""
    if isinstance(states, dict):
        return {name: observed[positions.to(observed.device)] for name, observed in states.items()}
    return states[positions.to(states.device)]


def require_search(
    n_samples: SupportsIndex = 1,
    steps: SupportsIndex = 1,
    prior: str = STATES,
    prior_weight: float = 0.0,
    learning_rate: float = 1.0,
    beta: float = 1.0,
) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` if an option of :func:`probe` is out of range."""
    require_prior(prior)
    counts = isinstance(n_samples, Integral) and isinstance(steps, Integral)
    counts = counts and min(index(n_samples), index(steps)) >= 1
    if not counts or not (0 <= prior_weight < np.inf and learning_rate > 0 and beta > 0):
        raise ExplainError(
            f"n_samples={n_samples}, steps={steps}, prior_weight={prior_weight}, "
            f"learning_rate={learning_rate}, beta={beta}: give whole numbers of "
            "samples and steps, positive numbers, and no negative weight"
        )
