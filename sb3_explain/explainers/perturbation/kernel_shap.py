"""Kernel SHAP: Shapley values of features, by a weighted regression over sets of features."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.additive import AdditiveExplainer
from sb3_explain.explainers.perturbation.features import Features
from sb3_explain.explainers.requirements import needs_features, needs_few_features
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, read_blocks

#: the values of more features than these take minutes to solve for
MAX_FEATURES = 2048


@EXPLAINERS.register("kernel_shap")
class KernelSHAP(AdditiveExplainer):
    """A feature's mean contribution to the score, over the orders in which features are added.

    Lundberg and Lee (2017), theorem 2: features outside of a set z are replaced by their baseline,
    v(z) is the score of the target, and the values phi solve

        min over phi of sum_z w(z) (v(z) - v(0) - z . phi)^2   so that   sum(phi) = v(1) - v(0),
        w(z) = (M - 1) / (binom(M, |z|) |z| (M - |z|)),

    in double precision. If all 2^M sets of M features fit into ``n_samples`` (M <= 11 by default),
    all are used and the values are exact; otherwise pairs of a random set and its complement are
    drawn with probabilities proportional to w. Each set costs one forward pass, for all targets.
    The values are signed, and a state's values add up to the score on the state less that on the
    baseline. A category is one feature. Images beside vectors stay the same, and get 0.

    >>> from sb3_explain import KernelSHAP
    >>> explainer = KernelSHAP(agent, baseline="mean", states=states)
    >>> explainer.attribute(states.observations([0, 1])).shape, explainer.forwards_per_state
    (torch.Size([2, 4]), 16)

    :param agent: agent to explain, which observes features
    :param baseline: name of the baseline, or a function from observations to their replacement; the
        ``"background"`` of ``states`` when not given, or black (0) if there are no states
    :param states: states that a baseline given by name is fitted on
    :param n_samples: largest number of sets, at least 4; when not given, 2048 or four for each
        feature, whichever is more
    :param seed: random seed of the sets
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
    :raises ExplainError: if ``n_samples`` sets are too few to determine the values
    """

    name = "kernel_shap"
    takes_baseline = True

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        return needs_features(agent) or needs_few_features(agent, MAX_FEATURES)

    def __init__(
        self,
        agent: Agent,
        *,
        baseline: str | Replacement | None = None,
        states: StateDataset | None = None,
        n_samples: int | None = None,
        seed: int = 0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        if n_samples is not None and n_samples < 4:
            raise ExplainError(f"n_samples={n_samples}: give at least 4 sets to read")
        self.baselines = make_baselines(agent, baseline, states)
        #: number of features by key
        self.by_key = find_feature_keys(agent)
        n_features = sum(self.by_key.values())
        if n_samples is None:
            # a set and its complement have one equation together
            n_samples = max(2048, 4 * n_features)
        if 2**n_features <= n_samples:
            sets, weights = list_sets(n_features)
        else:
            sets, weights = sample_sets(n_features, n_samples, seed)
        #: (P, M) which features each set has; the first set is empty, the second has all
        self.sets = torch.from_numpy(sets)
        self.solution = torch.from_numpy(solve_regression(sets, weights))

    @property
    def left_out(self) -> Collection[str]:
        return self.agent.layout.shapes.keys() - self.by_key.keys()

    @property
    def forwards_per_state(self) -> int:
        return len(self.sets)

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        features = Features(batch, self.by_key, self.baselines)
        values: Tensor = batch.read_once((self, "values"), lambda: self._values(features))
        target = batch.target[:, None, None].expand(-1, values.shape[1], 1)
        return features.by_key(values.gather(2, target)[:, :, 0])

    def base_scores(self, batch: StateBatch) -> Tensor:
        features = Features(batch, self.by_key, self.baselines)
        return features.target_scores(features.replaced, torch.arange(len(batch)))

    def _values(self, features: Features) -> Tensor:
        """(B, M, C) Shapley values for every target."""
        sets = self.sets.to(features.states.device)
        copies = (torch.where(z, features.states, features.replaced) for z in sets)
        readings = read_blocks(features.target_scores, copies, self.chunk(features.batch))
        solution = self.solution.to(readings.device)
        return torch.einsum("mp,bpc->bmc", solution, readings.double()).to(readings.dtype)


def list_sets(n_features: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """List all sets of M features.

    :param n_features: number of features M
    :return: (2^M, M) sets, of which the first is empty and the second has all features; and their
        weights (2^M,), which are 0 for these two
    """
    every = np.array(list(product([False, True], repeat=n_features)))
    sets = np.concatenate([every[[0, -1]], every[1:-1]])
    sizes = sets[2:].sum(axis=1)
    weights = [(n_features - 1) / (comb(n_features, k) * k * (n_features - k)) for k in sizes]
    return sets, np.array([0.0, 0.0, *weights])


def sample_sets(
    n_features: int, n_samples: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Draw sets of M features in pairs of a set and its complement.

    :param n_features: number of features M
    :param n_samples: largest number of sets
    :param seed: random seed of the draw
    :return: (P, M) sets, of which the first is empty and the second has all features; and how often
        each of the others was drawn (P,), relative to the number of pairs
    """
    rng = np.random.default_rng(seed)
    sizes = np.arange(1, n_features)
    of_size = 1 / (sizes * (n_features - sizes))  # w(z) times the number of sets of that size
    n_pairs = max((n_samples - 2) // 2, 0)
    drawn = rng.choice(sizes, n_pairs, p=of_size / of_size.sum())
    ranks = rng.random((n_pairs, n_features)).argsort(axis=1).argsort(axis=1)
    half = ranks < drawn[:, None]
    sets, counts = np.unique(np.concatenate([half, ~half]), axis=0, return_counts=True)
    ends = np.array([[False], [True]]).repeat(n_features, axis=1)
    return np.concatenate([ends, sets]), np.array([0.0, 0.0, *counts / max(n_pairs, 1)])


def solve_regression(sets: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the weighted regression for any scores of the sets.

    With a Lagrange multiplier for the constraint, the regression is a linear system:

        [Z^T W Z  1] [phi   ]   [Z^T W (v - v(0))]
        [1^T      0] [lambda] = [v(1) - v(0)     ]

    :param sets: (P, M) sets, of which the first is empty and the second has all features
    :param weights: (P,) weights of the sets
    :return: (M, P) matrix that turns the scores v (P,) of the sets into the values phi (M,)
    :raises ExplainError: if the system has no unique solution
    """
    n_sets, n_features = sets.shape
    # each set has one equation; a system of many features is not even built where these are too few
    solvable = n_sets > n_features
    if solvable:
        Z = sets.astype(np.float64)
        ones = np.ones((n_features, 1))
        system = np.block([[(Z.T * weights) @ Z, ones], [ones.T, np.zeros((1, 1))]])
        solvable = bool(np.linalg.matrix_rank(system) > n_features)
    if not solvable:
        raise ExplainError(
            f"{n_sets} sets do not determine the values of {n_features} features: give a larger "
            "n_samples"
        )
    gathered = Z.T * weights
    gathered[:, 0] -= gathered.sum(axis=1)  # every v less v(0)
    total = np.zeros((1, n_sets))
    total[0, :2] = -1, 1
    solution: NDArray[np.float64] = np.linalg.solve(system, np.concatenate([gathered, total]))
    return solution[:n_features]
