"""What a policy answers: scores, values, probabilities, actions and recurrent states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.action_spaces import action_probabilities, draw_actions, score_range
from sb3_explain.agents.activations import capture_outputs, find_batch_axes
from sb3_explain.agents.fit import require_fit
from sb3_explain.agents.policy_views import PolicyView, forbid
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.envs.spaces import Observations, split_keys


class PolicyOutputs:
    """The outputs of a frozen policy; :class:`sb3_explain.Agent` adds its names and its origin.

    :param view: reads scores and values off the policy
    :param observation_space: what the policy observes, after transposition and frame stacking
    :param action_space: action space of the environment
    """

    def __init__(
        self,
        view: PolicyView,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
    ) -> None:
        self.view = view
        self.observation_space = observation_space
        self.action_space = action_space
        #: number of observations passed through the policy so far
        self.forwards = 0
        #: called before each pass; an error that it raises ends the work that the pass belongs to
        self.before_pass: Callable[[], None] | None = None
        self.view.policy.eval()
        for parameter in self.view.policy.parameters():  # requires_grad_ of TorchScript raises
            parameter.requires_grad_(False)

    def scores(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> Tensor:
        """(B, K) scores of the actions.

        Logits for policies that sample (Discrete, MultiDiscrete and MultiBinary, sub-actions side
        by side), Q-values for DQN, means over quantiles for QR-DQN, and for Box actions each
        dimension of the deterministic action, in the policy's own scale ([-1, 1] if squashed).

        :param observations: (B, ...) observations, or a dict of such tensors
        :param lstm_states: (B, ...) state of a recurrent policy; the state at the start of an
            episode when not given
        :param action_masks: (B, K) of 0 (forbidden) and 1 (allowed): the score of a forbidden
            action becomes -1e8, as in MaskablePPO. (B, 2K) for MultiBinary actions: whether each
            bit may be off, and whether it may be on
        :raises ExplainError: if the observations do not fit the policy
        """
        scores = self.view.scores(self._check_and_count(observations), lstm_states)
        return scores if action_masks is None else forbid(scores, action_masks)

    def values(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> Tensor:
        """(B,) values of the states.

        V(s) for actor-critic agents, max Q for DQN and QR-DQN, the minimum over critics of
        Q(s, pi(s)) for SAC, TD3, DDPG, TQC and CrossQ.

        :param observations: (B, ...) observations, or a dict of such tensors
        :param lstm_states: (B, ...) state of a recurrent policy, as in :meth:`scores`
        :param action_masks: masks as in :meth:`scores`, which values do not depend on
        :raises ExplainError: if the agent has no values: ARS, or a module that returns scores only
        """
        return self.view.values(self._check_and_count(observations), lstm_states)

    def critics(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> Tensor:
        """(B, n) Q_i(s, pi(s)) of each critic of SAC, TD3, DDPG, TQC and CrossQ.

        The mean over quantiles for TQC; the least of them is the value.

        :param observations: (B, ...) observations, or a dict of such tensors
        :param lstm_states: (B, ...) state of a recurrent policy, as in :meth:`scores`
        :param action_masks: masks as in :meth:`scores`, which critics do not depend on
        :raises ExplainError: if the agent is of another kind
        """
        return self.view.critics(self._check_and_count(observations), lstm_states)

    def scores_and_values(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, K) scores and (B,) values, in one forward pass where the two share layers.

        The values are NaN for an agent that has none; parameters are those of :meth:`scores`.
        """
        scores, values = self.view.scores_and_values(
            self._check_and_count(observations), lstm_states
        )
        return scores if action_masks is None else forbid(scores, action_masks), values

    def probabilities(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> Tensor:
        """(B, K) probabilities of the actions; (B, A, 2) mean and standard deviation for Box.

        The softmax of Q-values is a convention of the explanation literature: the agent itself
        does not sample from it. The probabilities of each MultiDiscrete sub-action sum to one;
        those of MultiBinary bits are independent. Parameters are those of :meth:`scores`.
        """
        scores = self.scores(observations, lstm_states, action_masks)
        if isinstance(self.action_space, spaces.Box):
            std = self.view.std(observations, lstm_states)
            return torch.stack([scores, std], dim=-1)
        return self.probabilities_of(scores)

    def probabilities_of(self, scores: Tensor) -> Tensor:
        """(..., K) probabilities for the scores (..., K) of an agent whose actions are not Box."""
        return action_probabilities(self.action_space, scores)

    def marginals(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, A) mean and (B, A) standard deviation of each dimension of a Box action.

        For a squashed policy these are the values before the tanh. A deterministic policy has no
        standard deviation: a tenth of the scores' range is returned, as a scale to compare by.
        Parameters are those of :meth:`scores`.
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

    def greedy(
        self,
        observations: Observations,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> Tensor:
        """(B,) index of the action with the highest score, for Discrete action spaces.

        Parameters are those of :meth:`scores`.

        :raises ExplainError: for any other action space
        """
        if not isinstance(self.action_space, spaces.Discrete):
            raise ExplainError(
                f"{type(self.action_space).__name__} actions have no single greedy index: "
                "name the target action"
            )
        return self.scores(observations, lstm_states, action_masks).argmax(dim=1)

    def act(
        self,
        observations: Observations,
        *,
        deterministic: bool = True,
        rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
        lstm_states: Tensor | None = None,
        action_masks: Tensor | None = None,
    ) -> np.ndarray[Any, Any]:
        """(B, ...) actions, in the form that the environment's ``step`` takes.

        :param observations: (B, ...) observations, or a dict of such tensors
        :param deterministic: take the greedy action, as ``model.predict(deterministic=True)`` does
        :param rng: random generator for sampled actions, one for all rows or one per row
        :param lstm_states: (B, ...) state of a recurrent policy, as in :meth:`scores`
        :param action_masks: masks as in :meth:`scores`
        :raises ExplainError: if an action should be sampled, but no ``rng`` is given
        """
        if not deterministic and rng is None:
            raise ExplainError("sampled actions need rng=numpy.random.default_rng(seed)")
        with torch.no_grad():
            scores = self.scores(observations, lstm_states, action_masks)
            if deterministic or rng is None:
                return self.act_on(scores)
            is_box = isinstance(self.action_space, spaces.Box)
            std = self.view.std(observations, lstm_states) if is_box else None
        each = [rng] * len(scores) if isinstance(rng, np.random.Generator) else rng
        return self.act_on(scores, std=std, rng=each)

    def act_on(
        self,
        scores: Tensor,
        *,
        std: Tensor | None = None,
        rng: Sequence[np.random.Generator] | None = None,
    ) -> np.ndarray[Any, Any]:
        """(B, ...) actions for scores already computed: greedy without ``rng``, else sampled.

        :param scores: (B, K) scores of the actions
        :param std: (B, A) standard deviation of Box actions, to sample them
        :param rng: one random generator per row
        """
        return draw_actions(
            self.action_space,
            scores,
            std,
            rng,
            squashed=self.squashed,
            first_action=self.first_action,
        )

    @cached_property
    def batch_axes(self) -> dict[str, int]:
        """The axis of the states in the output of each layer; found when first asked for."""
        return find_batch_axes(self.view, self.observation_space)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that scores and values pass through, in the order of the pass.

        They are those of the policy's modules (``named_modules``), found by a pass of sampled
        observations when first asked for.

        >>> agent.layers[:2]
        ('features_extractor', 'features_extractor.flatten')
        """
        return tuple(self.batch_axes)

    @overload
    def activations(  # type: ignore[overload-overlap]  # a text is a sequence of texts
        self, observations: Observations, layers: str, lstm_states: Tensor | None = None
    ) -> Tensor: ...

    @overload
    def activations(
        self, observations: Observations, layers: Sequence[str], lstm_states: Tensor | None = None
    ) -> dict[str, Tensor]: ...

    def activations(
        self,
        observations: Observations,
        layers: str | Sequence[str],
        lstm_states: Tensor | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """(B, ...) outputs of a layer, or of several by their names.

        Of a layer that is called several times in a pass they are those of the first call, and of
        one with several outputs, such as an LSTM, the first of these.

        >>> agent.activations(agent.tensor(states.observations([0, 1])), "action_net").shape
        torch.Size([2, 2])

        :param observations: (B, ...) observations, or a dict of such tensors
        :param layers: a name of :attr:`layers`, or several
        :param lstm_states: (B, ...) state of a recurrent policy, as in :meth:`scores`
        :raises ExplainError: for an unknown layer; the nearest name is suggested
        """
        names = [layers] if isinstance(layers, str) else list(layers)
        require_known("layer", names, self.batch_axes)
        observations = self._check_and_count(observations)
        with capture_outputs(self.view.policy, self.batch_axes, names) as captured:
            self.view.scores_and_values(observations, lstm_states)
        return captured[layers] if isinstance(layers, str) else captured

    @property
    def first_action(self) -> int:
        """The Discrete action that score 0 stands for, as the environment numbers it.

        It is the space's ``start`` for an agent made from a module. An agent of stable-baselines3
        hands the environment the index of its best score, whatever the space's ``start``: 0.
        """
        space = self.action_space
        adds_start = self.view.adds_start and isinstance(space, spaces.Discrete)
        return int(space.start) if adds_start else 0  # type: ignore[attr-defined]

    @property
    def recurrent(self) -> bool:
        """Whether the policy carries a state from one observation to the next."""
        return self.initial_lstm_states(1) is not None

    def initial_lstm_states(self, batch_size: int) -> Tensor | None:
        """(B, ...) recurrent states at the start of an episode; ``None`` if not recurrent."""
        return self.view.initial_lstm_states(batch_size)

    def next_lstm_states(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> Tensor | None:
        """(B, ...) recurrent states after these observations."""
        with torch.no_grad():
            return self.view.next_lstm_states(observations, lstm_states)

    @property
    def device(self) -> torch.device:
        """The device that the weights are on."""
        tensors = [*self.view.policy.parameters(), *self.view.policy.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def squashed(self) -> bool:
        """Whether the scores of Box actions lie in [-1, 1] and are scaled to the action's range."""
        return bool(getattr(self.view.policy, "squash_output", False))

    def check(self, observations: Observations) -> None:
        """Check that observations have the keys and shapes that the policy takes.

        :param observations: (B, ...) observations, or a dict of such tensors
        :raises ExplainError: if they do not
        """
        require_fit(observations, self.observation_space)

    def _check_and_count(self, observations: Observations) -> Observations:
        """The same observations, after they are checked and added to :attr:`forwards`."""
        self.check(observations)
        if self.before_pass is not None:
            self.before_pass()
        self.forwards += len(next(iter(split_keys(observations).values())))
        return observations
