"""What a tree learns of an agent: features of states, its actions, and how much they matter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import group_sizes, target_scores
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.untrusted import one_line
from sb3_explain.envs.spaces import Observations, split_keys
from sb3_explain.workflows.tree.sums import add_sums, find_sums, write_sum

Array = NDArray[Any]
#: function of observations (B, ...), or a dict of them, that returns features (B, M); or those of
#: given states
Features = Callable[[Any], Any] | Array

#: how states may be weighted
WEIGHTS = ("gap", "probabilities", "equal")
#: an action of a smaller probability does not count as one that the agent may take
MIN_PROBABILITY = 0.02


@dataclasses.dataclass(frozen=True)
class Lesson:
    """States with what the agent does in them.

    :param values: (n, M) features
    :param actions: (n, A) the agent's action, as the environment takes it, flat
    :param weights: (n,) how much the action matters; of a Discrete action (n, K) how much each
        action speaks for itself, where they are probabilities
    :param episode: (n,) number of the episode
    :param scores: (n, K) the agent's scores
    """

    values: NDArray[np.float64]
    actions: Array
    weights: NDArray[np.float64]
    episode: NDArray[np.int64]
    scores: NDArray[np.float64]

    def pick(self, rows: Array) -> Lesson:
        """Return some of the states.

        :param rows: their numbers, or (n,) whether each is among them
        """
        names = [field.name for field in dataclasses.fields(self)]
        return Lesson(**{name: getattr(self, name)[rows] for name in names})

    @classmethod
    def join(cls, lessons: Sequence[Lesson]) -> Lesson:
        """Join lessons, one after the other."""
        names = [field.name for field in dataclasses.fields(cls)]
        parts = {name: [getattr(one, name) for one in lessons] for name in names}
        return cls(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


class Teacher:
    """An agent that says of states what it does in them.

    :param agent: the agent
    :param features: function of the observations that returns the features that a tree asks for, or
        (n, M) these of n states; when not given, the features of the observation in the
        environment's own units
    :param feature_names: names of the features; the agent's when not given
    :param weights: how much states matter, one of :data:`WEIGHTS`
    :raises ExplainError: if the agent has a memory, or observes pictures that no function describes
    """

    def __init__(
        self,
        agent: Agent,
        features: Features | None = None,
        feature_names: Sequence[str] | None = None,
        *,
        weights: str = "gap",
    ) -> None:
        require_known("weights", [weights], WEIGHTS)
        if agent.recurrent:
            raise ExplainError(
                "this agent remembers what it saw (recurrent), and a tree remembers nothing: "
                "distill an agent without memory, such as one with stacked frames"
            )
        if features is None and agent.layout.pictures:
            raise ExplainError(
                "this agent observes pictures, whose pixels are no questions that a person can "
                "read: give features=, a function of observations that returns (B, M) numbers"
            )
        self.agent = agent
        self.features = features
        #: names of the features; empty until the user's function has said how many there are
        self.names = tuple(map(str, feature_names or ()))
        if features is None and feature_names is None:
            sizes = {key: math.prod(shape) for key, shape in agent.layout.shapes.items()}
            self.names = tuple(name_features(agent, sizes))
        #: (S, M) coefficients of sums of features that a tree may ask for, too
        self.sums = np.empty((0, 0))
        self.weights = "equal" if self.is_box else weights
        if self.weights == "probabilities" and not isinstance(agent.action_space, spaces.Discrete):
            raise ExplainError(
                "weights='probabilities' are those of one action (Discrete), and this agent takes "
                "several at once: give weights='gap'"
            )

    @property
    def is_box(self) -> bool:
        """Whether actions are continuous."""
        return isinstance(self.agent.action_space, spaces.Box)

    @property
    def weighting(self) -> str:
        """What the weights are, in words."""
        if self.weights == "equal":
            return "the same for all states"
        by_value = self.agent.view.value_based
        if self.weights == "probabilities":
            said = "the probability that the agent gives each action"
            return said + (" (the softmax of Q-values)" if by_value else "")
        return "V(s) - min Q(s, a)" if by_value else "max log pi(a|s) - min log pi(a|s)"

    @property
    def n_rows(self) -> int | None:
        """Number of states whose features were given; ``None`` for any states."""
        given = self.features
        return None if given is None or callable(given) else len(np.atleast_1d(given))

    def read_features(
        self, observations: Observations, rows: Array | None = None
    ) -> NDArray[np.float64]:
        """(B, M) features of observations.

        :param observations: (B, ...) observations as the agent sees them, or a dict of these
        :param rows: (B,) numbers of the states, where their features were given
        :raises ExplainError: if the user's function fails, or returns something else
        """
        by_key = split_keys(observations)
        n = len(next(iter(by_key.values())))
        if self.features is None:
            values = show_values(self.agent, self.agent.layout.arrange(by_key)).numpy()
        else:
            values = self._call(self.features, observations, n, rows)
        self.names = self.names or tuple(f"feature {i}" for i in range(values.shape[1]))
        n_names = len(self.names) - len(self.sums)
        if values.shape[1] != n_names:
            raise ExplainError(
                f"{n_names} feature_names for {values.shape[1]} features: give one name per feature"
            )
        if not np.isfinite(values).all():
            raise ExplainError("features are NaN or infinite: a tree cannot ask for them")
        return add_sums(values, self.sums)

    def take_sums(self, lesson: Lesson, n: int) -> None:
        """Find sums of features that tell which of two actions the agent prefers.

        :param lesson: states without sums
        :param n: largest number of sums
        :raises ExplainError: if the agent does not choose one of several actions
        """
        if not isinstance(self.agent.action_space, spaces.Discrete):
            raise ExplainError(
                "sums tell one action from another (Discrete), and this agent takes several "
                "numbers: give n_sums=0"
            )
        scores = torch.from_numpy(lesson.scores)
        probabilities = self.agent.probabilities_of(scores).numpy(force=True)
        self.sums = find_sums(lesson.values, lesson.scores, probabilities, n)
        self.names += tuple(write_sum(one, self.names) for one in self.sums)

    def extend(self, lesson: Lesson) -> Lesson:
        """Return a lesson with the sums beside its features."""
        return dataclasses.replace(lesson, values=add_sums(lesson.values, self.sums))

    def _call(
        self, features: Features, observations: Observations, n: int, rows: Array | None
    ) -> Array:
        shown = (
            {key: part.cpu().numpy() for key, part in observations.items()}
            if isinstance(observations, Mapping)
            else observations.cpu().numpy()
        )
        try:
            found = features(shown) if callable(features) else np.asarray(features)[rows]
            values = np.asarray(found, dtype=np.float64)
        except Exception as error:  # the user's code may fail in any way
            raise ExplainError(f"features= fails on observations ({one_line(error)})") from error
        if values.ndim != 2 or len(values) != n:
            raise ExplainError(
                f"features= returns {values.shape} for {n} observations: let it return ({n}, M)"
            )
        return values

    def measure_weights(self, scores: Tensor) -> NDArray[np.float64]:
        """(B,) how much the action matters in each state; (B, K) where these are probabilities.

        l(s) = V(s) - min_a Q(s, a), VIPER's loss of the worst action (Bastani et al., 2018). Where
        the policy samples, log pi(a | s) stands for Q, as there. Of several sub-actions the sum.

        :param scores: (B, K) the agent's scores
        """
        space = self.agent.action_space
        if self.weights == "equal":
            return np.ones(len(scores))
        if self.weights == "probabilities":
            return self.agent.probabilities_of(scores.double()).numpy(force=True)
        groups = torch.split(target_scores(space, scores.double()), group_sizes(space), dim=1)
        # logits differ by as much as log-probabilities do, and V is the largest Q
        gaps = [group.amax(dim=1) - group.amin(dim=1) for group in groups]
        return torch.stack(gaps).sum(dim=0).numpy(force=True)

    def spread(self, lesson: Lesson) -> Lesson:
        """Return a lesson whose weights are numbers: a state stands there once for each action.

        :param lesson: states; they stay as they are unless their weights are probabilities
        """
        if lesson.weights.ndim == 1:
            return lesson
        rows, actions = np.nonzero(lesson.weights >= MIN_PROBABILITY)
        numbers = (actions + self.agent.first_action)[:, None]
        return dataclasses.replace(
            lesson.pick(rows), actions=numbers, weights=lesson.weights[rows, actions]
        )

    def label(
        self,
        observations: Observations,
        episode: Array,
        *,
        masks: Tensor | None = None,
        rows: Array | None = None,
    ) -> Lesson:
        """Say what the agent does in some states.

        :param observations: (B, ...) observations as the agent sees them, or a dict of these
        :param episode: (B,) number of the episode of each
        :param masks: (B, C) which actions are allowed, which no tree knows
        :param rows: (B,) numbers of the states, where their features were given
        :raises ExplainError: if there are masks
        """
        if masks is not None:
            raise ExplainError(
                "this agent is told which actions are allowed (action_masks), and a tree is not: "
                "distill an agent without masks"
            )
        with torch.no_grad():
            scores = self.agent.scores(observations)
        actions = self.agent.act_on(scores).reshape(len(scores), -1)
        weights = self.measure_weights(scores)
        values = self.read_features(observations, rows)
        plain = scores.double().numpy(force=True)
        return Lesson(values, actions, weights, np.asarray(episode), plain)
