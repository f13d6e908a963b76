"""The nodes of a decision tree as arrays, which need no library to be followed."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: what stands in place of a feature or a child where a node is a leaf
NONE = -1


@dataclasses.dataclass(frozen=True)
class Nodes:
    """A binary tree of N nodes, of which the first is the root, and children follow their parents.

    :param feature: (N,) index of the feature that a node asks for; -1 of a leaf
    :param threshold: (N,) a state goes left if the feature is at most so large; 0 of a leaf
    :param left: (N,) index of the left child; -1 of a leaf
    :param right: (N,) index of the right child; -1 of a leaf
    :param action: (N, A) action of the states of a node, as the environment takes it, flat
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    action: Array

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """(N,) whether a node is a leaf."""
        leaf: NDArray[np.bool_] = self.feature == NONE
        return leaf

    @property
    def n_leaves(self) -> int:
        """Number of leaves."""
        return int(self.is_leaf.sum())

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """(N,) number of questions before each node."""
        levels = np.zeros(len(self.feature), np.int64)
        for node in np.flatnonzero(~self.is_leaf):
            levels[[self.left[node], self.right[node]]] = levels[node] + 1
        return levels

    def apply(self, values: Array) -> NDArray[np.int64]:
        """(B,) leaf that each of the states (B, M) comes to."""
        node = np.zeros(len(values), np.int64)
        rows = np.arange(len(values))
        for _ in range(int(self.levels.max())):
            goes_left = values[rows, self.feature[node]] <= self.threshold[node]
            below = np.where(goes_left, self.left[node], self.right[node])
            node = np.where(self.is_leaf[node], node, below)
        return node

    def act(self, values: Array) -> Array:
        """(B, A) actions in the states (B, M)."""
        actions: Array = self.action[self.apply(values)]
        return actions

    def sum_up(self, leaf: NDArray[np.int64], values: Array) -> NDArray[np.float64]:
        """(N,) sums of values (B,) over the states that come through each node.

        :param leaf: (B,) leaf of each state
        :param values: (B,) value of each state
        """
        sums = np.bincount(leaf, weights=values, minlength=len(self.feature)).astype(np.float64)
        for node in np.flatnonzero(~self.is_leaf)[::-1]:  # children follow their parents
            sums[node] = sums[self.left[node]] + sums[self.right[node]]
        return sums

    def cut(self, leaves: NDArray[np.bool_]) -> Nodes:
        """Return the tree in which some nodes are leaves, without the nodes below them.

        :param leaves: (N,) whether a node shall be a leaf; leaves stay leaves
        """
        leaves = leaves | self.is_leaf
        stay = [0]
        for node in stay:  # which grows meanwhile
            if not leaves[node]:
                stay += [int(self.left[node]), int(self.right[node])]
        stay.sort()
        place = np.full(len(leaves), NONE)
        place[stay] = np.arange(len(stay))
        leaf = leaves[stay]
        return Nodes(
            np.where(leaf, NONE, self.feature[stay]),
            np.where(leaf, 0.0, self.threshold[stay]),
            np.where(leaf, NONE, place[self.left[stay]]),
            np.where(leaf, NONE, place[self.right[stay]]),
            self.action[stay],
        )

    def merge_equal(self) -> Nodes:
        """Return the same function without questions whose answer changes no action."""
        same = self.is_leaf.copy()
        for node in np.flatnonzero(~self.is_leaf)[::-1]:
            left, right = self.left[node], self.right[node]
            equal = (self.action[left] == self.action[right]).all()
            same[node] = same[left] and same[right] and equal
        return self.cut(same)
