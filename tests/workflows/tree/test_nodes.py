"""Trees as arrays: the same as scikit-learn's, with thresholds that separate the same states."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sb3_explain.workflows.tree.fitting import fit_nodes, grow_nodes, shorten
from sb3_explain.workflows.tree.nodes import Nodes
from sb3_explain.workflows.tree.teacher import Lesson


def lesson(actions, n=2000, seed=0) -> Lesson:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 3)).astype(np.float32).astype(np.float64)
    return Lesson(values, actions(values), rng.random(n), np.arange(n) // 20, np.zeros((n, 0)))


def corners(values):
    return ((values[:, :1] * values[:, 1:2] > 0) + 2 * (values[:, 2:] > 1)).astype(np.int64)


@pytest.mark.parametrize("n", [2, 5, 11])
def test_a_grown_tree_predicts_what_that_of_scikit_learn_predicts(n):
    given = lesson(corners)
    weights = given.weights / given.weights.mean()
    theirs = DecisionTreeClassifier(max_leaf_nodes=n, random_state=0)
    theirs.fit(given.values, given.actions[:, 0], sample_weight=weights)
    grown = grow_nodes(given, 40, regress=False, seed=0)
    ours = grown.cut(grown.left >= 2 * n - 1)  # the first n leaves of a larger tree
    assert ours.n_leaves == n
    np.testing.assert_array_equal(ours.act(given.values)[:, 0], theirs.predict(given.values))


def test_continuous_actions_are_the_means_of_their_leaves():
    given = lesson(lambda values: np.stack([values[:, 0], np.sin(values[:, 1])], axis=1))
    theirs = DecisionTreeRegressor(max_leaf_nodes=8, random_state=0)
    theirs.fit(given.values, given.actions, sample_weight=given.weights)
    ours = fit_nodes(given, 8, regress=True)
    assert ours.n_leaves == 8
    np.testing.assert_allclose(
        ours.act(given.values), theirs.predict(given.values), rtol=1e-4, atol=1e-5
    )


def test_several_parts_of_an_action():
    given = lesson(lambda values: np.stack([values[:, 0] > 0, values[:, 1] > 0.5], axis=1) * 1)
    tree = fit_nodes(given, 4, regress=False)
    np.testing.assert_array_equal(tree.act(given.values), given.actions)


def test_no_question_is_kept_whose_answer_changes_nothing():
    given = lesson(corners)
    tree = fit_nodes(given, 6, regress=False)
    assert 2 <= tree.n_leaves <= 6
    for node in np.flatnonzero(~tree.is_leaf):
        left, right = tree.left[node], tree.right[node]
        if tree.is_leaf[left] and tree.is_leaf[right]:
            assert (tree.action[left] != tree.action[right]).any()
    # and so it is at least as good as scikit-learn's of this size
    theirs = DecisionTreeClassifier(max_leaf_nodes=6, random_state=0)
    theirs.fit(given.values, given.actions[:, 0], sample_weight=given.weights)
    right = [(acts == given.actions[:, 0]) @ given.weights
             for acts in (tree.act(given.values)[:, 0], theirs.predict(given.values))]  # fmt: skip
    assert right[0] >= right[1]


def test_a_heavy_state_decides():
    values = np.array([[0.0], [0.0], [0.0], [1.0]])
    actions = np.array([[0], [0], [1], [0]])
    light = Lesson(values, actions, np.ones(4), np.zeros(4, int), np.zeros((4, 0)))
    heavy = Lesson(
        values, actions, np.array([1.0, 1.0, 9.0, 1.0]), np.zeros(4, int), np.zeros((4, 0))
    )
    assert fit_nodes(light, 2, regress=False).act(np.array([[0.0]])) == [[0]]
    tree = fit_nodes(heavy, 2, regress=False)
    assert tree.act(np.array([[0.0], [1.0]])).tolist() == [[1], [0]]
    assert tree.threshold[0] == 0.5
    unweighted = Lesson(
        values, actions, np.zeros(4), np.zeros(4, int), np.zeros((4, 0))
    )  # all count equally then
    assert fit_nodes(unweighted, 2, regress=False).act(np.array([[0.0]])) == [[0]]


@pytest.mark.parametrize(
    ("low", "high", "short"),
    [(0.25, 0.75, 0.5), (1.2341, 1.2349, 1.2345), (-1.0, 2.0, 0.0), (-3.2e-7, -2.9e-7, -3e-7)],
)
def test_thresholds_are_short(low, high, short):
    assert shorten(low, high) == short


def test_sums_of_what_comes_through_each_node():
    #      0: x <= 0 ? 1 : 2;  2: x <= 1 ? 3 : 4
    tree = Nodes(
        np.array([0, -1, 0, -1, -1]), np.array([0.0, 0, 1, 0, 0]), np.array([1, -1, 3, -1, -1]),
        np.array([2, -1, 4, -1, -1]), np.array([[0], [0], [1], [1], [2]]),
    )  # fmt: skip
    leaf = tree.apply(np.array([[-1.0], [0.0], [0.5], [2.0]]))
    assert leaf.tolist() == [1, 1, 3, 4]
    assert tree.sum_up(leaf, np.array([1.0, 2, 3, 4])).tolist() == [10, 3, 7, 3, 4]
    assert tree.levels.tolist() == [0, 1, 1, 2, 2]
    assert tree.cut(np.array([False, False, True, False, False])).feature.tolist() == [0, -1, -1]
