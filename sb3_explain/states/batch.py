"""StateBatch: some states of an agent, which explainers and metrics perturb."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

import torch
from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.action_spaces import (
    default_target,
    gaussian_divergence,
    greedy_targets,
    group_numbers,
    log_probabilities,
    margins,
    measure_moves,
    target_scores,
)
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import measure_extents
from sb3_explain.agents.targets.find import TargetLike, read_targets, require_action
from sb3_explain.agents.targets.outputs import Outputs
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import read_instance
from sb3_explain.envs.spaces import SINGLE, Observations
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.keys import ByKey

T = TypeVar("T")

#: largest number of states of one forward pass, for methods that take any number of states
PASS = 1024
#: share of its range by which a Box action may move and still count as the same
TOLERANCE = 0.05


class StateBatch(ByKey):
    """B states whose observations may be perturbed, while the other policy inputs stay the same.

    Its methods pass perturbed copies of the states through the agent. Copies are given as ``rows``
    (R, ...) in one of two forms: a tensor in the form of :attr:`observations`; or a dict of some
    keys of a Dict observation, whose other keys stay the same. ``states`` (R,) is the index of the
    state that each row is a copy of; when not given, row i is a copy of state i.

    Whatever axes the agent's observations have, here pictures are (B, C, H, W) and everything else
    is flat (see ``agent.layout``), so that methods need not know those axes.

    >>> from sb3_explain import StateBatch
    >>> batch = StateBatch(agent, states.observations([0, 1, 2]), target=1)
    >>> batch.target_scores(0 * batch.observations).shape  # scores of all targets on zeros
    torch.Size([3, 2])

    :param agent: agent that is explained
    :param observations: (B, ...) observations in the policy's own layout and raw range, or a dict
        of such; tensors or arrays, on any device
    :param target: what is explained: an index or a name, such as ``"LEFT"``, ``"value"`` or
        ``"LEFT - RIGHT"``, a function, or (B,) indices (see :mod:`sb3_explain.agents.targets`); the
        greedy action when not given
    :param policy_inputs: what the policy takes besides the observation and is never perturbed:
        ``lstm_states`` of a recurrent policy and ``action_masks``, batch-first tensors
    :param cache: cache of forward passes that explainers of these states share; none if not given
    :raises ExplainError: if there are no states, they do not fit the agent or are not finite, or
        the agent has no such target
    """

    def __init__(
        self,
        agent: Agent,
        observations: Observations,
        target: TargetLike = None,
        policy_inputs: Mapping[str, Tensor] | None = None,
        cache: ForwardCache | None = None,
    ) -> None:
        agent = read_instance("agent", agent, Agent)
        self.agent = agent
        self.cache = cache
        #: (B,) positions of the states in the data set that they come from, if it is known
        self.positions: Tensor | None = None
        #: whether a target was asked for, instead of the default
        self.asked = target is not None
        #: the quantity that is explained, if that is no action; then it is the one target, index 0
        self.scalar: ScalarTarget | None = None
        observations = agent.tensor(observations)
        agent.check(observations)
        by_key = observations if isinstance(observations, dict) else {SINGLE: observations}
        #: (B, ...) observations by key, which is empty if they are no dict: pictures (B, C, H, W),
        #: everything else flat; float32, unless float64 was given
        self.by_key = {
            name: observed.detach()
            if observed.dtype == torch.float64
            else observed.detach().float()
            for name, observed in agent.layout.arrange(by_key).items()
        }
        held: Any = agent.tensor(dict(policy_inputs or {}))
        self.policy_inputs = {name: known.detach() for name, known in held.items()}
        if len(self) == 0:
            raise ExplainError("there is no state to explain: give at least one observation")
        if not all(bool(observed.isfinite().all()) for observed in self.by_key.values()):
            raise ExplainError("the observations hold NaN or infinite values: leave them out")
        for name, known in self.policy_inputs.items():
            if len(known) != len(self):
                raise ExplainError(f"{name} of {len(known)} states for {len(self)}: give one each")
        if target is not None:
            self._set_target(target)

    def _set_target(self, target: TargetLike) -> None:
        found = read_targets(self.agent, target, len(self))
        self.scalar = found if isinstance(found, ScalarTarget) else None
        if isinstance(found, ScalarTarget):
            found = torch.zeros(len(self), dtype=torch.long, device=self.device)
        self.target = found

    @property
    def explained(self) -> Tensor | ScalarTarget:
        """What is explained, as other batches take it: the indices, or the scalar target."""
        return self.target if self.scalar is None else self.scalar

    def name_targets(self) -> list[str]:
        """Name the target of each of the B states."""
        if self.scalar is not None:
            return [self.scalar.name] * len(self)
        return [self.agent.target_names[index] for index in self.target.tolist()]

    @cached_property
    def target(self) -> Tensor:
        """(B,) index of the target that is explained."""
        return self.find_default_targets()

    def find_default_targets(self) -> Tensor:
        """Find the targets to explain when none are given.

        :return: (B,) index of the greedy action, or of the most decisive part of it (see
            :func:`sb3_explain.agents.action_spaces.default_target`)
        """
        agent = self.agent
        return default_target(agent.action_space, self.own_target_scores, squashed=agent.squashed)

    # --- the same states in other forms ----------------------------------------------------

    def with_target(self, target: TargetLike) -> StateBatch:
        """Return the same states with another target to explain.

        :param target: target as the class takes it
        """
        view = copy.copy(self)
        view.asked = True
        view._set_target(target)
        return view

    def resolve_target(self) -> StateBatch:
        """Return the same states with known targets, which explainers need not find any more."""
        if "target" not in vars(self):
            self.target = self.find_default_targets()
        return self

    def with_cache(self, cache: ForwardCache) -> StateBatch:
        """Return the same states with a cache, through which explainers share forward passes."""
        view = copy.copy(self)
        view.cache = cache
        return view

    def with_observations(self, rows: Tensor) -> StateBatch:
        """Return states with other observations, but the same targets and policy inputs.

        :param rows: (B, ...) observations in the form of :attr:`observations`
        """
        view = copy.copy(self)
        view.target = self.target
        view.by_key = self.split_keys(rows)
        for known in ("own_scores", "_own_marginals", "_digest"):  # of the other states
            vars(view).pop(known, None)
        return view

    def get_relevance(self, attributions: Tensor) -> Tensor:
        """Turn attributions into relevances, by which features are ranked.

        These are the attributions; for a Box action and for a scalar target they are the
        magnitudes: there the sign says in which direction a feature moves it, not whether it
        depends on the feature.

        :param attributions: (B, ...) attributions of the target
        :return: (B, ...) relevances
        """
        signless = self.scalar is not None or isinstance(self.agent.action_space, spaces.Box)
        return attributions.abs() if signless else attributions

    @property
    def held(self) -> Tensor:
        """(...) whether noise and blends leave a feature as it is (see ``agent.categories``)."""
        held = {name: part[None] for name, part in self.agent.categories.held.items()}
        return self.flatten_keys({name: held[name] for name in self.by_key})[0].to(self.device)

    def get_extent(self) -> Tensor:
        """Compute the range (...) of each feature, in which noise moves it.

        It is high minus low, 1 if the feature is unbounded, and 0 if it is held: a category.
        """
        extents = measure_extents(self.agent)
        extent = self.flatten_keys({name: extents[name] for name in self.by_key})[0]
        return extent.to(self.device).masked_fill(self.held, 0.0)

    def split(self, size: int) -> list[StateBatch]:
        """Split the states into batches of at most ``size`` states each, in order."""
        if len(self) <= size:
            return [self]
        return [self._part(slice(at, at + size)) for at in range(0, len(self), size)]

    def _part(self, rows: slice) -> StateBatch:
        part = copy.copy(self)
        part.target = self.target[rows]
        part.positions = None if self.positions is None else self.positions[rows]
        part.by_key = {name: observed[rows] for name, observed in self.by_key.items()}
        part.policy_inputs = {name: held[rows] for name, held in self.policy_inputs.items()}
        vars(part).pop("_digest", None)
        if "own_scores" in vars(self):
            part.own_scores = self.own_scores[rows]
        if "_own_marginals" in vars(self):
            mean, std = self._own_marginals
            part._own_marginals = mean[rows], std[rows]
        return part

    def read_once(self, key: Hashable, read: Callable[[], T]) -> T:
        """Call ``read()``, or look up what it returned for equal states in :attr:`cache`.

        :param key: names what is read; equal keys have equal perturbations
        :param read: function that passes perturbed copies of these states through the agent
        """
        if self.cache is None:
            return read()
        return self.cache.read(self.agent, (key, self.scalar, self._digest), read)

    @cached_property
    def _digest(self) -> bytes:
        """Hash of the observations and the policy inputs."""
        digest = hashlib.blake2b()
        for tensor in (*self.by_key.values(), *self.policy_inputs.values()):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.digest()

    # --- the agent on perturbed copies -----------------------------------------------------

    def scores(self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None) -> Tensor:
        """Compute the agent's scores (R, K), differentiable with respect to ``rows``."""
        observations, policy_inputs = self._complete(rows, states)
        return self.agent.scores(observations, **policy_inputs)

    def target_scores(
        self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None
    ) -> Tensor:
        """Compute the scores (R, C) of all targets, differentiable with respect to ``rows``.

        They are (R, 1) for a scalar target.
        """
        if self.scalar is None:
            return target_scores(self.agent.action_space, self.scores(rows, states))
        outputs = Outputs(self.agent, *self._complete(rows, states))
        n_rows = len(rows if isinstance(rows, Tensor) else next(iter(rows.values())))
        return self.scalar(outputs, n_rows)[:, None]

    def values(self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None) -> Tensor:
        """Compute the agent's values (R,); NaN for an agent that has none."""
        return self.scores_and_values(rows, states)[1]

    def scores_and_values(
        self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute scores (R, K) and values (R,), in one pass if their networks share layers."""
        observations, policy_inputs = self._complete(rows, states)
        return self.agent.scores_and_values(observations, **policy_inputs)

    def similarity(self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None) -> Tensor:
        """Compute minus KL(action on the copy || action on the state) of a Box action's dimensions.

        :return: (R, A) similarities: 0 where the action is the same, below elsewhere; for
            deterministic policies see :meth:`sb3_explain.Agent.marginals`
        """
        mean, std = self._marginals(rows, states)
        own_mean, own_std = (_of(own, states) for own in self._own_marginals)
        return -gaussian_divergence(mean, std, own_mean, own_std)

    def preferences(self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None) -> Tensor:
        """Compute how much of each target is left on the copies.

        This is the probability of the target in its group (the softmax of Q-values, for an agent
        that has them); for Box actions it is exp(:meth:`similarity`) of the dimension.

        :return: (R, C) preferences in [0, 1]
        :raises ExplainError: for a scalar target, which has none
        """
        require_action(self.agent, self.scalar)
        space = self.agent.action_space
        if isinstance(space, spaces.Box):
            return self.similarity(rows, states).exp()
        return log_probabilities(space, self.target_scores(rows, states)).exp()

    def preference(self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None) -> Tensor:
        """Compute the :meth:`preferences` of the explained targets: (R,), in [0, 1]."""
        return self.preferences(rows, states).gather(1, _of(self.target, states)[:, None])[:, 0]

    def divergence(self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None) -> Tensor:
        """Compute KL(policy on the state || policy on the copy), of the explained target's group.

        :return: (R,) in nats, at least 0; of a Box action, that of the target's dimension
        """
        require_action(self.agent, self.scalar)
        space, target = self.agent.action_space, _of(self.target, states)[:, None]
        if isinstance(space, spaces.Box):
            mean, std = self._marginals(rows, states)
            own_mean, own_std = (_of(own, states) for own in self._own_marginals)
            each = gaussian_divergence(own_mean, own_std, mean, std)
            return each.gather(1, target)[:, 0]
        left = log_probabilities(space, self.target_scores(rows, states))
        own = _of(log_probabilities(space, self.own_target_scores), states)
        # an action that the agent cannot take in the state has no part in it
        terms = torch.where(own.exp() > 0, own.exp() * (own - left), 0.0)
        numbers = group_numbers(space).to(terms.device)
        return (terms * (numbers == numbers[target])).sum(dim=1).clamp_min(0.0)

    def keeps(self, rows: Tensor | dict[str, Tensor], states: Tensor | None = None) -> Tensor:
        """Check whether the agent still does the explained target on the copies.

        The target has to be the best of its group; for a Box action, the dimension may have moved
        by at most a 20th of its range, as the environment receives it: clipped, where it is.

        :return: (R,) booleans
        """
        require_action(self.agent, self.scalar)
        space, target = self.agent.action_space, _of(self.target, states)[:, None]
        outcome = self.target_scores(rows, states)
        if not isinstance(space, spaces.Box):
            return greedy_targets(space, outcome).gather(1, target)[:, 0]
        own = _of(self.own_target_scores, states)
        moves = measure_moves(space, outcome, own, squashed=self.agent.squashed)
        return moves.gather(1, target)[:, 0] <= TOLERANCE

    @cached_property
    def own_scores(self) -> Tensor:
        """(B, K) scores of the agent on the states themselves."""
        with torch.no_grad():
            return torch.cat([self.scores(*part) for part in self._own_parts()])

    @property
    def own_target_scores(self) -> Tensor:
        """(B, C) scores of the targets on the states themselves; (B, 1) of a scalar target."""
        if self.scalar is None:
            return target_scores(self.agent.action_space, self.own_scores)
        with torch.no_grad():
            return torch.cat([self.target_scores(*part) for part in self._own_parts()])

    @cached_property
    def _own_marginals(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            parts = [self._marginals(*part) for part in self._own_parts()]
        return torch.cat([mean for mean, _ in parts]), torch.cat([std for _, std in parts])

    def _marginals(
        self, rows: Tensor | dict[str, Tensor], states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        observations, policy_inputs = self._complete(rows, states)
        return self.agent.marginals(observations, **policy_inputs)

    def _own_parts(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """The states themselves with their indices, in parts of one forward pass."""
        for numbers in torch.split(torch.arange(len(self), device=self.device), PASS):
            yield {name: observed[numbers] for name, observed in self.by_key.items()}, numbers

    def margin(self) -> Tensor:
        """Compute how clearly the agent decides in the group of the explained target.

        :return: (B,) probability of the best target less that of the second best, in [0, 1]; 1 if
            there is no second, as for Box actions
        """
        require_action(self.agent, self.scalar)
        gaps = margins(self.agent.action_space, self.own_target_scores)
        number = group_numbers(self.agent.action_space).to(gaps.device)[self.target]
        return gaps.gather(1, number[:, None])[:, 0]

    def _complete(
        self, rows: Tensor | dict[str, Tensor], states: Tensor | None
    ) -> tuple[Observations, dict[str, Tensor]]:
        """Complete observations and policy inputs of the copies."""
        by_key = self.split_keys(rows) if isinstance(rows, Tensor) else rows
        if len(by_key) < len(self.by_key):
            by_key = {
                name: by_key[name] if name in by_key else _of(observed, states)
                for name, observed in self.by_key.items()
            }
        policy_inputs = {name: _of(held, states) for name, held in self.policy_inputs.items()}
        return self.agent.layout.restore(by_key), policy_inputs


def _of(held: Tensor, states: Tensor | None) -> Tensor:
    return held if states is None else held[states]
