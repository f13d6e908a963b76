"""Exported code does what the tree does, to the last state, and needs nothing."""

import ctypes
import dataclasses
import shutil
import subprocess

import gymnasium as gym
import numpy as np
import pytest

from sb3_explain import PolicyTree
from sb3_explain.common.bootstrap import Interval
from sb3_explain.workflows.tree.fitting import fit_nodes
from sb3_explain.workflows.tree.measures import measure_tree
from sb3_explain.workflows.tree.sums import add_sums, write_sum
from sb3_explain.workflows.tree.teacher import Lesson

N, M = 4000, 3
NO_SUMS = np.empty((0, M))


def label(kind, values):
    """What an agent would do, as the environment takes it, flat."""
    if kind == "Box":
        return np.stack([np.tanh(values[:, 0] * values[:, 1]), 1e-7 * values[:, 2]], axis=1)
    turns = (values[:, :1] * values[:, 1:2] > 0.1).astype(np.int64)
    return turns * 2 if kind == "Discrete" else np.hstack([turns, (values[:, 2:] > 0.3) * 1])


SPACES = {
    "Discrete": ((), "int64", (("up", "down */ system(", 'right"""'),)),
    "MultiDiscrete": ((2,), "int64", (("off", "on"), ("low", "high"))),
    "Box": ((2,), "float32", (("gas", "wheel"),)),
}


def make(kind, max_leaves=24) -> PolicyTree:
    values = np.random.default_rng(0).normal(size=(N, M)).astype(np.float32).astype(np.float64)
    sums = np.array([[1.0, -0.35, 0.0], [0.0, 1.0, 0.071]]) if kind == "Discrete" else NO_SUMS
    lesson = Lesson(
        add_sums(values, sums),
        label(kind, values),
        np.ones(N),
        np.arange(N) // 100,
        np.zeros((N, 0)),
    )
    nodes = fit_nodes(lesson, max_leaves, regress=kind == "Box")
    shape, dtype, actions = SPACES[kind]
    names = ("x\n1", "angle */", "speed\\")
    names += tuple(write_sum(one, names) for one in sums)
    measures = measure_tree(nodes, lesson, None, None, names, regress=kind == "Box", seed=0)
    return PolicyTree(
        nodes, names, actions, shape, dtype, kind == "Box", 0, sums, "equal", measures,
        {"algo": "ppo", "environment": {"env_id": "X-v0"}},
    )  # fmt: skip


def questioned(tree, n=10_000):
    """States, among them some that lie on thresholds, or a last digit beside them."""
    values = np.random.default_rng(1).normal(size=(n, M)) * 2
    for row, node in enumerate(
        np.flatnonzero((tree.nodes.feature >= 0) & (tree.nodes.feature < M))
    ):
        for place, value in enumerate((-np.inf, 0, np.inf)):
            on = tree.nodes.threshold[node]
            values[3 * row + place, tree.nodes.feature[node]] = (
                np.nextafter(on, value) if value else on
            )
    return values


def run_python(tree):
    scope: dict = {}
    exec(compile(tree.to_python(), "tree.py", "exec"), scope)
    return scope["act"]


def run_c(tree, folder):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (folder / "tree.c").write_text(tree.to_c(), encoding="utf-8")
    flags = ["-std=c89", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "tree.c", "-o", "tree.so"], cwd=folder, check=True)
    act = ctypes.CDLL(str(folder / "tree.so")).act

    def call(state):
        given = (ctypes.c_double * M)(*state)
        if tree.is_discrete:
            return act(given)
        made = (ctypes.c_double * tree.nodes.action.shape[1])()
        act(given, made)
        return list(made)

    return call


@pytest.mark.parametrize("kind", SPACES)
def test_python_and_c_do_what_the_tree_does(kind, tmp_path):
    tree = make(kind)
    states = questioned(tree)
    expected = tree.predict(states)
    assert len(np.unique(expected, axis=0)) > 1
    assert (tree.nodes.feature.max() >= M) == (kind == "Discrete")  # it asks for a sum
    for act in (run_python(tree), run_c(tree, tmp_path)):
        acted = np.array([act(state) for state in states]).astype(expected.dtype)
        np.testing.assert_array_equal(acted, expected)


def test_python_is_given_single_precision_as_environments_have_it():
    tree = make("Discrete")
    act = run_python(tree)
    states = questioned(tree).astype(np.float32)
    assert [act(state) for state in states] == tree.predict(states).tolist()
    with pytest.raises(ValueError, match="2 numbers, where the tree asks for 3"):
        act([0.0, 1.0])


def test_rules_say_each_leaf_once(tmp_path):
    tree = make("Discrete", 6)
    text = str(tree)
    assert text.count("of the states") == tree.nodes.n_leaves
    assert "decision tree of 6 leaves and at most" in text and "for PPO on X-v0" in text
    page = tree.save(tmp_path / "out")
    assert {path.name for path in page.parent.iterdir()} == {
        f"tree.{end}" for end in ("html", "txt", "png", "py", "c", "json")
    }
    assert (tmp_path / "out" / "tree.py").read_text(encoding="utf-8") == tree.to_python()


def test_a_tree_of_one_leaf():
    tree = make("Discrete")
    alone = dataclasses.replace(tree, nodes=tree.nodes.cut(np.ones(len(tree.nodes.left), bool)))
    assert alone.predict(np.zeros((2, M))).tolist() == [run_python(alone)(np.zeros(M))] * 2
    assert alone.plot()[1:4] == b"PNG"


def test_measures_by_hand():
    """f0 <= 0 ? 0 : 1, in four states of the agent, of which it says 0, 1, 1, 1."""
    values = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    fitted = Lesson(
        values, np.array([[0], [0], [1], [1]]), np.ones(4), np.arange(4), np.zeros((4, 0))
    )
    nodes = fit_nodes(fitted, 2, regress=False)
    theirs = Lesson(
        values, np.array([[0], [1], [1], [1]]), np.ones(4), np.arange(4), np.zeros((4, 0))
    )
    found = measure_tree(nodes, theirs, None, (np.array([3.0, 5.0]), np.array([4.0, 4.0])),
                         ("x",), regress=False, seed=0)  # fmt: skip
    assert found.fidelity.mean == 0.75
    assert found.constant_fidelity == 0.75
    assert found.share.tolist() == [1, 0.5, 0.5]
    assert found.agreement.tolist() == [0.75, 0.5, 1.0]
    assert found.returns.mean == 4
    assert found.difference == Interval(0.0, -1.0, 1.0, 2)
    assert found.own_fidelity is None


def test_fidelity_of_continuous_actions_is_r_squared():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    tree = make("Box")
    values = questioned(tree, 500)
    actions = label("Box", values)
    theirs = Lesson(values, actions, np.ones(500), np.arange(500) // 20, np.zeros((500, 0)))
    found = measure_tree(tree.nodes, theirs, None, None, ("a", "b", "c"), regress=True, seed=0)
    expected = sklearn_metrics.r2_score(actions, tree.nodes.act(values))
    assert found.fidelity.mean == pytest.approx(expected)


def test_actions_of_the_space():
    assert gym.spaces.MultiDiscrete([2, 2]).contains(make("MultiDiscrete").predict(np.zeros(M)))
    assert gym.spaces.Box(-1, 1, (2,)).contains(make("Box").predict(np.zeros(M)))
