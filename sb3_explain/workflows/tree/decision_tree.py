"""A decision tree that acts: questions, with the names of what they ask for and of what it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.workflows.tree.nodes import Nodes
from sb3_explain.workflows.tree.sums import add_sums

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class DecisionTree:
    """A decision tree that acts.

    :param nodes: the questions and the actions
    :param feature_names: M names of the features that it may ask for
    :param actions: names of the values of each part of an action; of continuous actions the names
        of all dimensions as one group
    :param action_shape: shape of an action, as the environment takes it
    :param action_dtype: NumPy's name of its dtype
    :param is_continuous: whether actions are continuous
    :param first_action: number of the first discrete action
    :param sums: (S, M - S) coefficients of the last S features, which are sums of the others
    """

    nodes: Nodes
    feature_names: tuple[str, ...]
    actions: tuple[tuple[str, ...], ...]
    action_shape: tuple[int, ...]
    action_dtype: str
    is_continuous: bool
    first_action: int
    sums: NDArray[np.float64]

    @property
    def n_inputs(self) -> int:
        """Number of features that are given; the others are sums of these."""
        return len(self.feature_names) - len(self.sums)

    @property
    def is_discrete(self) -> bool:
        """Whether an action is one whole number."""
        return not self.is_continuous and self.action_shape == ()

    @property
    def action_parts(self) -> tuple[str, ...]:
        """A name of each number of an action, which lists its values if these are few."""
        if self.is_continuous:
            return self.actions[0]
        return tuple(" or ".join(names) for names in self.actions)

    @check_arguments
    def predict(self, observations: Any) -> Array:
        """Choose actions.

        :param observations: (B, M) features in the environment's own units, in the order of
            ``feature_names``, or (M,) of one state, without sums. Where the agent observes a
            vector, these are what the environment returns, before VecNormalize
        :return: (B, ...) actions as the environment takes them, or one action
        :raises ExplainError: if these are not M numbers
        """
        try:
            values = np.asarray(observations, np.float64)
        except (TypeError, ValueError) as error:
            raise ExplainError(
                f"observations are no array of numbers: give (B, {self.n_inputs})"
            ) from error
        if values.ndim not in (1, 2) or values.shape[-1] != self.n_inputs:
            raise ExplainError(
                f"observations have shape {values.shape}: give (B, {self.n_inputs}), a "
                f"column for each of: {', '.join(self.feature_names[: self.n_inputs])}"
            )
        rows = values.reshape(-1, self.n_inputs)
        acted = self.nodes.act(add_sums(rows, self.sums)).astype(self.action_dtype)
        acted = acted.reshape(len(rows), *self.action_shape)
        return acted if values.ndim == 2 else acted[0]

    def describe_action(self, node: int) -> str:
        """Name the action of a node.

        :param node: its number
        """
        action = self.nodes.action[node]
        if self.is_continuous:
            pairs = zip(self.actions[0], action, strict=True)
            return ", ".join(f"{name} {value:.4g}" for name, value in pairs)
        numbers = action.astype(int) - self.first_action
        return ", ".join(names[i] for names, i in zip(self.actions, numbers, strict=True))


def name_actions(groups: Sequence[int], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Names of the values of each part of an action.

    :param groups: number of values of each part
    :param names: all names, one part after the other
    """
    ends = np.cumsum(groups)
    return tuple(tuple(names[end - n : end]) for n, end in zip(groups, ends, strict=True))
