"""Agent: one frozen, differentiable view of a policy, whatever trained it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.vec_env import VecFrameStack, unwrap_vec_wrapper
from torch import Tensor, nn

from sb3_explain.agents.action_spaces import (
    action_probabilities,
    draw_actions,
    score_range,
    target_names,
)
from sb3_explain.agents.policy_views import FORBIDDEN, ModuleView, PolicyView, make_view
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.envs.action_names import number_actions
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.spaces import Observations

#: the zoo's names of the algorithms that it calls otherwise than sb3-contrib does
ZOO_NAMES = {"recurrentppo": "ppo_lstm", "maskableppo": "maskable_ppo"}


class Agent:
    """A frozen policy: scores, values, probabilities and actions of batches of observations.

    Observations are batch-first tensors in the policy's own layout and raw range: images
    channel-first with values 0..255, vectors as the policy receives them (normalised, if the agent
    was trained with VecNormalize), a dict of such tensors for Dict spaces. Every call is
    differentiable with respect to them, and none changes a parameter, a buffer, a mode or a random
    state.

    Use :meth:`from_model`, :meth:`from_module` or :func:`sb3_explain.load_agent` to make one.

    :param view: how scores and values are read off the policy
    :param observation_space: the policy's own, after any transposition and stacking
    :param action_space: the environment's
    :param algo: the zoo's name of the algorithm, or ``"module"``
    :param action_names: one per score; numbered when not given
    :param n_stack: frames stacked in an observation; the recipe's, else 1, when not given
    :param recipe: how its environment is made, where known
    :param provenance: plain data about where the agent comes from
    """

    def __init__(
        self,
        view: PolicyView,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        algo: str = "module",
        action_names: Sequence[str] | None = None,
        n_stack: int | None = None,
        recipe: EnvRecipe | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.view = view
        self.observation_space = observation_space
        self.action_space = action_space
        self.algo = algo
        self.recipe = recipe
        #: frames stacked in an observation
        self.n_stack = n_stack or (recipe.frame_stack if recipe is not None else 1)
        self.provenance = provenance or {}
        #: observations passed through the policy so far
        self.forwards = 0
        self.view.policy.eval().requires_grad_(False)
        self.action_names = tuple(action_names or number_actions(action_space))
        if len(self.action_names) != self.n_scores:
            raise ExplainError(
                f"{len(self.action_names)} action names for {self.n_scores} scores: "
                "give one name per score"
            )

    @classmethod
    def from_model(cls, model: BaseAlgorithm, **details: Any) -> Agent:
        """A snapshot of a live model of stable-baselines3 or sb3-contrib.

        The policy is copied: training the model further does not change the agent, and explaining
        the agent does not change the model.

        :param model: any algorithm of the two libraries, Dict observations included
        :param details: further arguments of :class:`Agent`
        :raises ExplainError: if the policy is of a kind that cannot be read
        """
        name = type(model).__name__.lower()
        details.setdefault("algo", ZOO_NAMES.get(name, name))
        env = model.get_env()
        stacking = unwrap_vec_wrapper(env, VecFrameStack) if env is not None else None
        if isinstance(stacking, VecFrameStack) and "recipe" not in details:
            details.setdefault("n_stack", stacking.stacked_obs.n_stack)
        # SGQN and its baselines know how many frames their environment stacks
        details.setdefault("n_stack", getattr(model, "n_stack", None))
        policy = snapshot(model.policy)
        return cls(make_view(policy), model.observation_space, model.action_space, **details)

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        value_based: bool = False,
        **details: Any,
    ) -> Agent:
        """An agent from any torch module, of which a copy is kept.

        :param module: maps observations (B, ...) in the range of ``observation_space`` to scores
            (B, K), or to a pair of scores (B, K) and values (B,)
        :param observation_space: of one observation, channel-first for images
        :param action_space: of the environment
        :param value_based: the scores are Q-values; the value is then their maximum
        :param details: further arguments of :class:`Agent`
        """
        view = ModuleView(snapshot(module), value_based=value_based)
        return cls(view, observation_space, action_space, **details)

    # --- what the policy says --------------------------------------------------------------

    def scores(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> Tensor:
        """(B, K) scores of the actions.

        Logits for policies that sample (Discrete, MultiDiscrete and MultiBinary, sub-actions side
        by side), Q-values for DQN, means over quantiles for QR-DQN, and for Box actions the
        deterministic action per dimension, as the policy itself states it (in [-1, 1] where it is
        squashed).

        :param observations: (B, ...)
        :param lstm_states: (B, ...) state of a recurrent policy; a fresh episode's when not given
        :param action_masks: (B, K) of 0 and 1: the score of an action that is not allowed (0) is
            -1e8, as MaskablePPO has it; (B, 2K) for MultiBinary actions, off and on of each bit
        :raises ExplainError: if the observations do not fit the policy
        """
        scores = self.view.scores(self._check_and_count(observations), lstm_states)
        return scores if action_masks is None else forbid(scores, action_masks)

    def values(self, observations: Observations, lstm_states: Tensor | None = None) -> Tensor:
        """(B,) values of the states.

        V(s) for actor-critic agents, max Q for DQN and QR-DQN, the minimum over critics of
        Q(s, pi(s)) for SAC, TD3, DDPG, TQC and CrossQ.

        :raises ExplainError: for ARS, which has none, and for a module that returns scores alone
        """
        return self.view.values(self._check_and_count(observations), lstm_states)

    def scores_and_values(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, K) and (B,), in one pass where the two share a trunk; NaN where there is no value."""
        scores, values = self.view.scores_and_values(
            self._check_and_count(observations), lstm_states
        )
        return scores if action_masks is None else forbid(scores, action_masks), values

    def probabilities(
        self, observations: Observations, lstm_states: Tensor | None = None
    ) -> Tensor:
        """(B, K) probabilities of the actions; (B, A, 2) mean and standard deviation for Box.

        For Q-values the softmax is a convention of the explanation literature, not the agent's own
        behaviour. MultiDiscrete sub-actions each sum to one; MultiBinary ones are independent.
        """
        scores = self.scores(observations, lstm_states)
        if isinstance(self.action_space, spaces.Box):
            std = self.view.std(observations, lstm_states)
            return torch.stack([scores, std], dim=-1)
        return self.probabilities_of(scores)

    def probabilities_of(self, scores: Tensor) -> Tensor:
        """(..., K) probabilities from the scores (..., K) of a discrete agent."""
        return action_probabilities(self.action_space, scores)

    def marginals(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, A) mean and (B, A) standard deviation of each dimension of a Box action.

        Of a squashed policy, those before the tanh. A deterministic policy is given a standard
        deviation of a tenth of its scores' range, as a scale to compare actions by.
        """
        assert isinstance(self.action_space, spaces.Box)
        means = self.scores(observations, lstm_states, action_masks)
        std = self.view.std(observations, lstm_states)
        if not bool((std > 0).any()):
            extent = score_range(self.action_space, squashed=self.squashed)[1]
            return means, (extent / 10).to(means).expand_as(means)
        if self.squashed:
            means = torch.atanh(means.clamp(-1 + 1e-6, 1 - 1e-6))
        return means, std

    def greedy(self, observations: Observations, lstm_states: Tensor | None = None) -> Tensor:
        """(B,) index of the best action of a Discrete agent."""
        if not isinstance(self.action_space, spaces.Discrete):
            raise ExplainError(
                f"{type(self.action_space).__name__} actions have no single greedy index: "
                "name the target action"
            )
        return self.scores(observations, lstm_states).argmax(dim=1)

    def act(
        self,
        observations: Observations,
        *,
        deterministic: bool = True,
        rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> np.ndarray[Any, Any]:
        """(B, ...) actions that the environment takes.

        :param observations: (B, ...)
        :param deterministic: the greedy action, as ``model.predict(deterministic=True)`` gives it
        :param rng: source of chance for sampled actions, one for all rows or one per row
        :param lstm_states: (B, ...) state of a recurrent policy
        :param action_masks: (B, K), see :meth:`scores`
        """
        with torch.no_grad():
            scores = self.scores(observations, lstm_states, action_masks)
            std = None
            if isinstance(self.action_space, spaces.Box) and not deterministic:
                std = self.view.std(observations, lstm_states)
        if deterministic:
            return self.act_on(scores)
        if rng is None:
            raise ExplainError("sampled actions need rng=numpy.random.default_rng(seed)")
        each = [rng] * len(scores) if isinstance(rng, np.random.Generator) else rng
        return self.act_on(scores, std=std, rng=each)

    def act_on(
        self,
        scores: Tensor,
        *,
        std: Tensor | None = None,
        rng: Sequence[np.random.Generator] | None = None,
    ) -> np.ndarray[Any, Any]:
        """Actions from scores that are at hand: greedy without ``rng``, else sampled.

        :param scores: (B, K)
        :param std: (B, A), for sampling Box actions
        :param rng: one generator per row
        """
        return draw_actions(self.action_space, scores, std, rng, squashed=self.squashed)

    # --- states of recurrent policies -----------------------------------------------------------

    @property
    def recurrent(self) -> bool:
        """Whether the policy carries a state from one observation to the next."""
        return self.initial_lstm_states(1) is not None

    def initial_lstm_states(self, batch_size: int) -> Tensor | None:
        """(B, ...) recurrent states at the start of an episode; ``None`` for a policy without a
        recurrent state.
        """
        return self.view.initial_lstm_states(batch_size)

    def next_lstm_states(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> Tensor | None:
        """(B, ...) recurrent states after these observations."""
        with torch.no_grad():
            return self.view.next_lstm_states(observations, lstm_states)

    # --- what it is ------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        tensors = [*self.view.policy.parameters(), *self.view.policy.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def first_action(self) -> int:
        """The environment's number of the action of score 0: the start of a Discrete space."""
        return int(self.action_space.start) if isinstance(self.action_space, spaces.Discrete) else 0

    @property
    def n_scores(self) -> int:
        """K, the number of scores."""
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            return int(space.n)
        if isinstance(space, spaces.MultiDiscrete):
            return int(space.nvec.sum())
        if isinstance(space, spaces.MultiBinary):
            return int(np.prod(space.shape))
        if isinstance(space, spaces.Box):
            return int(np.prod(space.shape))
        raise ExplainError(f"{type(space).__name__} action spaces are not supported")

    @property
    def squashed(self) -> bool:
        """Whether the scores of Box actions are in [-1, 1], to be scaled to the action's range."""
        return bool(getattr(self.view.policy, "squash_output", False))

    @property
    def target_names(self) -> tuple[str, ...]:
        """C names of what there is to explain, see :mod:`sb3_explain.agents.action_spaces`."""
        return target_names(self.action_space, self.action_names)

    @property
    def n_targets(self) -> int:
        """C, the number of targets that an explanation may answer for."""
        return len(self.target_names)

    def find_target(self, name: int | str) -> int:
        """The index of a target by its name or number.

        :raises ExplainError: if there is none; the nearest name is suggested
        """
        by_name = {known.lower(): index for index, known in enumerate(self.target_names)}
        text = str(name).lower()
        if text in by_name:
            return by_name[text]
        if text.isdecimal() and int(text) < self.n_targets:
            return int(text)
        raise unknown_name("action", str(name), self.target_names)

    def tensor(self, observations: Any) -> Observations:
        """Observations in NumPy (or torch) as tensors on the agent's device, dtype kept."""
        if isinstance(observations, dict):
            return {key: self.tensor(observed) for key, observed in observations.items()}  # type: ignore[misc]
        return torch.as_tensor(observations, device=self.device)

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and bytes of all weights: which agent this is."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.view.policy.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Plain data for reports and provenance."""
        return {
            "algo": self.algo,
            "actions": list(self.action_names),
            "observation_space": str(self.observation_space)
            if isinstance(self.observation_space, spaces.Dict)
            else f"{type(self.observation_space).__name__}{self.observation_space.shape}",
            "environment": self.recipe.describe() if self.recipe is not None else None,
            "weights_sha256": self.fingerprint(),
            **self.provenance,
        }

    def check(self, observations: Observations) -> None:
        """:raises ExplainError: if the shape of the observations does not fit the policy"""
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            if not isinstance(observations, dict) or set(observations) != set(space.spaces):
                raise ExplainError(
                    f"this agent observes a dict of {sorted(space.spaces)}: give a dict of "
                    "batch-first tensors with these keys"
                )
            shapes = {key: (observations[key].shape, observed) for key, observed in space.items()}
        else:
            if not isinstance(observations, Tensor):
                raise ExplainError("observations must be one batch-first tensor: see Agent.tensor")
            shapes = {"observations": (observations.shape, space)}
        for key, (shape, observed) in shapes.items():
            if tuple(shape[1:]) != observed.shape:
                raise ExplainError(
                    f"{key} of shape {tuple(shape)} do not fit this agent: it takes "
                    f"(batch, {', '.join(map(str, observed.shape or ()))})"
                    + (", channel-first" if len(observed.shape or ()) == 3 else "")
                )

    def _check_and_count(self, observations: Observations) -> Observations:
        """The observations, counted, once they are known to fit."""
        self.check(observations)
        by_key = observations.values() if isinstance(observations, dict) else [observations]
        self.forwards += len(next(iter(by_key)))
        return observations


def snapshot(module: nn.Module) -> Any:
    """A deep copy of ``module`` without its optimisers and without what its last pass left behind.

    SB3's distributions keep tensors of the last pass, with their graph, which cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, torch.optim.Optimizer):
                memo[id(value)] = None
            elif isinstance(value, Distribution):
                memo[id(value)] = blank = copy.copy(value)
                for name, kept in vars(value).items():
                    if isinstance(kept, Tensor):
                        setattr(blank, name, kept.detach().clone())
                    elif isinstance(kept, torch.distributions.Distribution):
                        setattr(blank, name, None)
    return copy.deepcopy(module, memo)


def forbid(scores: Tensor, action_masks: Tensor) -> Tensor:
    """Scores (B, K) with -1e8 for what ``action_masks`` does not allow, as MaskablePPO has it.

    :param action_masks: (B, K), or (B, 2K) for bits, which may be forbidden to be off or on
    """
    never = scores.new_tensor(FORBIDDEN)
    allowed = action_masks.to(scores.device).reshape(len(scores), -1) > 0
    if allowed.shape == scores.shape:
        return torch.where(allowed, scores, never)
    off, on = allowed.reshape(len(scores), -1, 2).unbind(dim=2)
    return torch.where(on, torch.where(off, scores, -never), never)
