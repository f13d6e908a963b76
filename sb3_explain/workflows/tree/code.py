"""A tree as code that needs no library: a function in Python, and one in C."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.workflows.tree.decision_tree import DecisionTree

#: characters of the longest line of a comment
LINE = 88


def clean(text: str) -> str:
    """A text that cannot end a comment, or a line of one."""
    line = " ".join(text.split()).replace("*/", "* /").replace('"""', "'''").replace("\\", "/")
    return "".join(mark if mark.isprintable() else "?" for mark in line)


def write_branches(
    tree: DecisionTree,
    ask: Callable[[int, str, str], str],
    otherwise: str,
    end: str,
    answer: Callable[[int], Sequence[str]],
) -> list[str]:
    """Write the questions and answers of a tree as nested lines.

    :param tree: the tree
    :param ask: a question, of a feature's number, the threshold, and the feature's name
    :param otherwise: what stands before the states that answer no
    :param end: what closes a branch; nothing where empty
    :param answer: lines of a leaf
    """
    nodes = tree.nodes
    #: what waits to be written, at which depth: a line, or a node
    waiting: list[tuple[int, int | str]] = [(0, 0)]
    lines: list[str] = []
    while waiting:
        depth, node = waiting.pop()
        if isinstance(node, str):
            lines.append("    " * depth + node)
        elif nodes.is_leaf[node]:
            lines += ["    " * depth + line for line in answer(node)]
        else:
            feature = int(nodes.feature[node])
            threshold = repr(float(nodes.threshold[node]))
            name = clean(tree.feature_names[feature])
            lines.append("    " * depth + ask(feature, threshold, name))
            branch: list[tuple[int, int | str]] = [
                (depth + 1, int(nodes.left[node])), (depth, otherwise),
                (depth + 1, int(nodes.right[node])),
            ]  # fmt: skip
            waiting += reversed([*branch, (depth, end)] if end else branch)
    return lines


def write_rules(tree: DecisionTree, share: NDArray[Any], agreement: NDArray[Any]) -> list[str]:
    """Write the tree as rules in words, with how often each leaf is reached.

    :param tree: the tree
    :param share: (N,) share of the states that come through each node
    :param agreement: (N,) how far the tree does there what the agent does
    """

    def answer(node: int) -> list[str]:
        how = "R squared" if tree.is_continuous else "as the agent in"
        value = f"{agreement[node]:.2f}" if tree.is_continuous else f"{agreement[node]:.0%}"
        seen = f"{share[node]:.1%} of the states, {how} {value}" if share[node] else "no state"
        return [f"{clean(tree.describe_action(node))}  ({seen})"]

    def ask(feature: int, threshold: str, name: str) -> str:
        return f"if {name} <= {threshold}:"

    return write_branches(tree, ask, "else:", "", answer)


def describe_input(tree: DecisionTree) -> list[str]:
    """Lines that say what the numbers of the array are, and what comes back."""
    given = tree.feature_names[: tree.n_inputs]
    lines = [f"x[{i}]: {clean(name)}" for i, name in enumerate(given)]
    if tree.is_discrete:
        named = [f"{i + tree.first_action} {clean(n)}" for i, n in enumerate(tree.actions[0])]
        return [*lines, f"Actions: {', '.join(named)}."]
    parts = ", ".join(clean(name) for name in tree.action_parts)
    return [*lines, f"Parts of an action: {parts}."]


def write_formulas(tree: DecisionTree) -> list[str]:
    """Write the sums of features as formulas, which are the same in Python and C."""
    return [
        " + ".join(f"{float(one[i])!r} * x[{i}]" for i in np.flatnonzero(one)) for one in tree.sums
    ]


def write_python(tree: DecisionTree, name: str) -> str:
    """Write the tree as a module in Python with a function ``act``, which imports nothing.

    :param tree: the tree
    :param name: what it is, for a comment
    """
    n = tree.n_inputs
    about = [
        line
        for text in [clean(name) + ".", *describe_input(tree)]
        for line in textwrap.wrap(text, LINE - 4, subsequent_indent="    ")
    ]

    def ask(feature: int, threshold: str, name: str) -> str:
        return f"if x[{feature}] <= {threshold}:  # {name}"

    def answer(node: int) -> list[str]:
        action = tree.nodes.action[node].tolist()
        said = "" if tree.is_continuous else f"  # {clean(tree.describe_action(node))}"
        return [f"return {action[0] if tree.is_discrete else action!r}{said}"]

    return "\n".join(
        [
            f'"""What an agent does, as a decision tree of {tree.nodes.n_leaves} leaves."""',
            "",
            "",
            "def act(observation):",
            '    """Return the action in a state.',
            "",
            *(f"    {line}" for line in about),
            '    """',
            "    x = [float(number) for number in observation]",
            f"    if len(x) != {n}:",
            f'        raise ValueError(f"{{len(x)}} numbers, where the tree asks for {n}")',
            *(f"    x.append({formula})" for formula in write_formulas(tree)),
            *(f"    {line}" for line in write_branches(tree, ask, "else:", "", answer)),
            "",
        ]
    )


def write_c(tree: DecisionTree, name: str) -> str:
    """Write the tree as a function ``act`` in C89, which includes nothing.

    :param tree: the tree
    :param name: what it is, for a comment
    """
    n, n_parts = tree.n_inputs, tree.nodes.action.shape[1]
    about = [clean(name) + ".", *describe_input(tree)]

    def ask(feature: int, threshold: str, name: str) -> str:
        asked = f"x[{feature}]" if feature < n else f"sum{feature - n}"
        return f"if ({asked} <= {threshold}) {{ /* {name} */"

    def answer(node: int) -> list[str]:
        action = tree.nodes.action[node].tolist()
        if tree.is_discrete:
            return [f"return {action[0]}; /* {clean(tree.describe_action(node))} */"]
        return [f"action[{i}] = {value!r};" for i, value in enumerate(action)]

    head = (
        f"int act(const double x[{n}])"
        if tree.is_discrete
        else f"void act(const double x[{n}], double action[{n_parts}])"
    )
    return "\n".join(
        [
            f"/* What an agent does, as a decision tree of {tree.nodes.n_leaves} leaves.",
            *(f" * {line}" for text in about for line in textwrap.wrap(text, LINE)),
            " */",
            head,
            "{",
            *(
                f"    const double sum{i} = {formula};"
                for i, formula in enumerate(write_formulas(tree))
                if n + i in tree.nodes.feature
            ),
            *(f"    {line}" for line in write_branches(tree, ask, "} else {", "}", answer)),
            "}",
            "",
        ]
    )
