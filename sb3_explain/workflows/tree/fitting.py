"""Fit a tree of a given size to what an agent does, by scikit-learn's CART."""

from __future__ import annotations

import bisect
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.workflows.scikit_learn import find_sklearn
from sb3_explain.workflows.tree.nodes import NONE, Nodes
from sb3_explain.workflows.tree.teacher import Lesson

Array = NDArray[Any]

#: a tree is grown to so many times its size, and loses what changes no action
GROWN = 8
#: share of the gap between two states, at each end of it, in which no threshold is put
MARGIN = 0.25
#: digits of the longest threshold, and of a continuous action
DIGITS, ACTION_DIGITS = 17, 5
#: largest number of questions before an action: Python's own parser has a limit of nested blocks
MAX_DEPTH = 64


def find_library() -> Any:
    """Return ``sklearn.tree``.

    :raises ExplainError: if scikit-learn is not installed
    """
    return find_sklearn("tree", "distill")


def fit_nodes(lesson: Lesson, max_leaves: int, *, regress: bool, seed: int = 0) -> Nodes:
    """Fit a tree of at most ``max_leaves`` leaves.

    Best-first CART, of which questions whose answer changes no action are taken out: so a tree of
    this size may ask more that does.

    :param lesson: states with what the agent does in them; those of weight 0 do not count, unless
        all are 0
    :param max_leaves: largest number of leaves
    :param regress: whether actions are numbers, of which a leaf takes the mean; otherwise each
        part of the action has the value that weighs most
    :param seed: random seed that decides between features that split equally well
    """
    if not (lesson.weights > 0).any():
        lesson = dataclasses.replace(lesson, weights=np.ones(len(lesson.values)))
    lesson = lesson.pick(lesson.weights > 0)
    n_leaves = max_leaves * (1 if regress else GROWN)
    grown = grow_nodes(lesson, n_leaves, regress=regress, seed=seed)

    def shrink(n_leaves: int) -> Nodes:
        # nodes are numbered as they were grown, two at a time: the first make a smaller tree
        return grown.cut(grown.left >= 2 * n_leaves - 1).merge_equal()

    n = bisect.bisect_right(
        range(1, grown.n_leaves + 1), max_leaves, key=lambda n: shrink(n).n_leaves
    )
    return round_thresholds(shrink(n), lesson.values)


def grow_nodes(lesson: Lesson, n_leaves: int, *, regress: bool, seed: int) -> Nodes:
    """Grow a tree of so many leaves, or fewer, best split first; see :func:`fit_nodes`."""
    library = find_library()
    actions, weights = lesson.actions, lesson.weights / lesson.weights.mean()
    kind = library.DecisionTreeRegressor if regress else library.DecisionTreeClassifier
    # one part of an action is a column, not a table of one column
    model = kind(max_leaf_nodes=n_leaves, max_depth=MAX_DEPTH, random_state=seed).fit(
        lesson.values, actions[:, 0] if actions.shape[1] == 1 else actions, sample_weight=weights
    )
    tree = model.tree_
    if regress:
        short = [float(f"{value:.{ACTION_DIGITS}g}") for value in tree.value.flat]
        means = np.reshape(short, tree.value.shape[:2])
        chosen = means.clip(actions.min(axis=0), actions.max(axis=0))
    else:
        classes = model.classes_ if actions.shape[1] > 1 else [model.classes_]
        best = [tree.value[:, i, : len(known)].argmax(axis=1) for i, known in enumerate(classes)]
        chosen = np.stack([known[row] for known, row in zip(classes, best, strict=True)], axis=1)
    leaf = tree.children_left == NONE
    return Nodes(
        np.where(leaf, NONE, tree.feature).astype(np.int64),
        np.where(leaf, 0.0, tree.threshold),
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        chosen,
    )


def round_thresholds(nodes: Nodes, values: Array) -> Nodes:
    """Give each question the shortest number that separates the same states.

    It lies in the middle half of the gap between them, so that states are not judged by their last
    digits.

    :param nodes: the tree
    :param values: (n, M) features of the states that it was fitted to
    """
    threshold = nodes.threshold.copy()
    at: dict[int, NDArray[np.int64]] = {0: np.arange(len(values))}
    for node in np.flatnonzero(~nodes.is_leaf):
        rows = at.pop(int(node))
        asked = values[rows, nodes.feature[node]]
        # scikit-learn compares numbers of single precision
        goes_left = asked.astype(np.float32) <= nodes.threshold[node]
        at[int(nodes.left[node])] = rows[goes_left]
        at[int(nodes.right[node])] = rows[~goes_left]
        low, high = asked[goes_left].max(), asked[~goes_left].min()
        margin = MARGIN * (high - low)
        threshold[node] = shorten(low + margin, high - margin)
    return dataclasses.replace(nodes, threshold=threshold)


def shorten(low: float, high: float) -> float:
    """Return the middle of a range with the fewest digits that keep it there; 0 if it is in there.

    >>> from sb3_explain.workflows.tree.fitting import shorten
    >>> shorten(0.25, 0.75), shorten(1.2341, 1.2349), shorten(-1.0, 2.0)
    (0.5, 1.2345, 0.0)
    """
    if low <= 0 <= high:
        return 0.0
    middle = low + (high - low) / 2
    short = (float(f"{middle:.{digits}g}") for digits in range(1, DIGITS + 1))
    return next((value for value in short if low <= value <= high), float(middle))
