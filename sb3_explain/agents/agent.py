"""Agent: a frozen, differentiable view of a policy, whichever algorithm trained it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecFrameStack, unwrap_vec_wrapper
from torch import Tensor, nn

from sb3_explain.agents.action_spaces import (
    action_probabilities,
    count_scores,
    draw_actions,
    score_range,
    target_names,
)
from sb3_explain.agents.fit import require_fit
from sb3_explain.agents.policy_views import ModuleView, PolicyView, forbid, make_view
from sb3_explain.agents.snapshot import snapshot
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.envs.action_names import number_actions
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.spaces import Observations, split_keys

#: names in rl-zoo3 of algorithms whose class has another name
ZOO_NAMES = {"recurrentppo": "ppo_lstm", "maskableppo": "maskable_ppo"}


class Agent:
    """A frozen policy, asked for scores, values, probabilities and actions of observations.

    Observations are batch-first tensors in the policy's own layout and raw range: images
    channel-first with values 0..255, vectors as the policy receives them (normalised, if the agent
    was trained with VecNormalize), a dict of such tensors for Dict spaces. Every result is
    differentiable with respect to the observations, and no call changes a parameter, a buffer, a
    training mode or a random state.

    Use :meth:`from_model`, :meth:`from_module` or :func:`sb3_explain.load_agent` to make one.

    >>> from sb3_explain import Agent
    >>> agent = Agent.from_model(model, action_names=["left", "right"])
    >>> observations = agent.tensor(np.zeros((3, 4), np.float32))
    >>> agent.probabilities(observations).shape, agent.values(observations).shape
    (torch.Size([3, 2]), torch.Size([3]))

    :param view: reads scores and values off the policy
    :param observation_space: what the policy observes, after transposition and frame stacking
    :param action_space: action space of the environment
    :param algo: the algorithm's name in rl-zoo3, or ``"module"``
    :param action_names: one name per score; the actions are numbered when not given
    :param n_stack: number of frames stacked in an observation; when not given, as the recipe says,
        or 1 without a recipe
    :param recipe: how the agent's environment is made, if known
    :param provenance: plain data about where the agent comes from
    :raises ExplainError: if the number of names is not the number of scores
    """

    #: how users come by one, for messages
    obtained_by: ClassVar[str] = "load_agent(...) or Agent.from_model(model) makes one"

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
        #: number of frames stacked in an observation
        self.n_stack = n_stack or (recipe.frame_stack if recipe is not None else 1)
        self.provenance = provenance or {}
        #: number of observations passed through the policy so far
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
        """Make an agent from a live model of stable-baselines3 or sb3-contrib.

        The policy is copied: training the model further does not change the agent, and explaining
        the agent does not change the model.

        :param model: any algorithm of the two libraries, Dict observations included
        :param details: further arguments of :class:`Agent`, such as ``recipe``
        :raises ExplainError: if the policy is of an unknown class
        """
        if not isinstance(model, BaseAlgorithm):
            raise ExplainError(f"give a model, not {type(model).__name__}: load_agent reads files")
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
        """Make an agent from a copy of any torch module.

        :param module: maps observations (B, ...) in the range of ``observation_space`` to scores
            (B, K), or to a pair of scores (B, K) and values (B,)
        :param observation_space: space of one observation, channel-first for images
        :param action_space: action space of the environment
        :param value_based: whether the scores are Q-values; the value is then their maximum
        :param details: further arguments of :class:`Agent`, such as ``action_names``
        """
        view = ModuleView(snapshot(module), value_based=value_based)
        return cls(view, observation_space, action_space, **details)

    # --- outputs of the policy --------------------------------------------------------------

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

    def values(self, observations: Observations, lstm_states: Tensor | None = None) -> Tensor:
        """(B,) values of the states.

        V(s) for actor-critic agents, max Q for DQN and QR-DQN, the minimum over critics of
        Q(s, pi(s)) for SAC, TD3, DDPG, TQC and CrossQ.

        :param observations: (B, ...) observations, or a dict of such tensors
        :param lstm_states: (B, ...) state of a recurrent policy, as in :meth:`scores`
        :raises ExplainError: if the agent has no values: ARS, or a module that returns scores only
        """
        return self.view.values(self._check_and_count(observations), lstm_states)

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
        self, observations: Observations, lstm_states: Tensor | None = None
    ) -> Tensor:
        """(B, K) probabilities of the actions; (B, A, 2) mean and standard deviation for Box.

        The softmax of Q-values is a convention of the explanation literature: the agent itself
        does not sample from it. The probabilities of each MultiDiscrete sub-action sum to one;
        those of MultiBinary bits are independent. Parameters are those of :meth:`scores`.
        """
        scores = self.scores(observations, lstm_states)
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

    def greedy(self, observations: Observations, lstm_states: Tensor | None = None) -> Tensor:
        """(B,) index of the action with the highest score, for Discrete action spaces.

        :raises ExplainError: for any other action space
        """
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
        return draw_actions(self.action_space, scores, std, rng, squashed=self.squashed)

    # --- states of a recurrent policy -----------------------------------------------------------

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

    # --- description ------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """The device that the weights are on."""
        tensors = [*self.view.policy.parameters(), *self.view.policy.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def first_action(self) -> int:
        """The action that score 0 stands for: ``start`` of a Discrete space, else 0."""
        return int(self.action_space.start) if isinstance(self.action_space, spaces.Discrete) else 0

    @property
    def n_scores(self) -> int:
        """K, the number of scores that the agent gives a state."""
        return count_scores(self.action_space)

    @property
    def squashed(self) -> bool:
        """Whether the scores of Box actions lie in [-1, 1] and are scaled to the action's range."""
        return bool(getattr(self.view.policy, "squash_output", False))

    @property
    def target_names(self) -> tuple[str, ...]:
        """C names of targets to explain, see :mod:`sb3_explain.agents.action_spaces`."""
        return target_names(self.action_space, self.action_names)

    @property
    def n_targets(self) -> int:
        """C, the number of targets that can be explained."""
        return len(self.target_names)

    def find_target(self, name: int | str) -> int:
        """The index of the target that has a name or number.

        :param name: one of :attr:`target_names`, in upper or lower case, or its index
        :raises ExplainError: if there is no such target; the nearest name is suggested
        """
        by_name = {known.lower(): index for index, known in enumerate(self.target_names)}
        text = str(name).lower()
        if text in by_name:
            return by_name[text]
        if text.isdecimal() and int(text) < self.n_targets:
            return int(text)
        raise unknown_name("action", str(name), self.target_names)

    def tensor(self, observations: Any) -> Observations:
        """Observations as tensors on the agent's device.

        :param observations: (B, ...) NumPy array or tensor, or a dict of these
        :return: tensors of the same shapes and dtypes
        """
        if isinstance(observations, dict):
            return {key: self.tensor(observed) for key, observed in observations.items()}  # type: ignore[misc]
        return torch.as_tensor(observations, device=self.device)

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes, dtypes and bytes of all weights: identifies the agent."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.view.policy.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """The agent as plain data, for reports and saved files."""
        space = self.observation_space
        shape = f"{type(space).__name__}{space.shape}"
        return {
            "algo": self.algo,
            "actions": list(self.action_names),
            "observation_space": str(space) if isinstance(space, spaces.Dict) else shape,
            "environment": self.recipe.describe() if self.recipe is not None else None,
            "weights_sha256": self.fingerprint(),
            **self.provenance,
        }

    def check(self, observations: Observations) -> None:
        """Check that observations have the keys and shapes that the policy takes.

        :param observations: (B, ...) observations, or a dict of such tensors
        :raises ExplainError: if they do not
        """
        require_fit(observations, self.observation_space)

    def _check_and_count(self, observations: Observations) -> Observations:
        """The same observations, after they are checked and added to :attr:`forwards`."""
        self.check(observations)
        self.forwards += len(next(iter(split_keys(observations).values())))
        return observations
