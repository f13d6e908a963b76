"""The figure of a decision tree: questions from left to right, a row for each leaf."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_explain.report.figures import get_theme, plain_fonts, render_png
from sb3_explain.report.palette import Theme, ThemeName, assign_styles

#: inches of a row, of a letter, between columns, and above the first row
ROW, LETTER, GAP, HEAD = 0.21, 0.069, 0.42, 0.75
#: points of the thickest line, and of the letters
THICKEST, POINTS = 7.0, 8.5
#: letters of the longest label, and of its end where it is shortened: the number that is compared
LETTERS, LAST = 60, 15
#: what the reader is told of the lines
LEGEND = "up: yes, down: no; a line's thickness and a leaf's number: share of the states"


@dataclasses.dataclass(frozen=True)
class DrawnTree:
    """A tree of N nodes as it is drawn; the first is the root, and children follow their parents.

    :param title: what it is
    :param labels: (N,) the question of each node, or the action of a leaf
    :param kinds: (N,) what a leaf has its color by; ``None`` for one color
    :param left: (N,) child where the answer is yes; -1 of a leaf
    :param right: (N,) child where it is no; -1 of a leaf
    :param share: (N,) share of the states that come through each node
    :param notes: lines that stand above it, such as what its questions are short for
    """

    title: str
    labels: Sequence[str]
    kinds: Sequence[str | None]
    left: Sequence[int]
    right: Sequence[int]
    share: Sequence[float]
    notes: Sequence[str] = ()


@plain_fonts
def tree_figure(tree: DrawnTree, *, theme: ThemeName = "light") -> bytes:
    """Draw a decision tree.

    :param tree: the tree
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    rows, levels = place_nodes(tree)
    texts = [_shorten(label) for label in tree.labels]
    lengths = [len(text) * LETTER for text in texts]
    widths = np.zeros(max(levels) + 1)
    for node, level in enumerate(levels):
        # no column begins to the right of a leaf in its row
        widths[level] = max(widths[level], lengths[node] if tree.left[node] >= 0 else 0)
    starts = np.concatenate([[0.0], (widths + GAP).cumsum()])[:-1]
    x = [float(starts[level]) for level in levels]
    right = max(x[node] + lengths[node] for node in range(len(x))) + 1.0
    width = max(right, len(tree.title) * 0.105, *(len(t) * LETTER for t in (LEGEND, *tree.notes)))
    head = HEAD + len(tree.notes) * ROW
    height = head + (max(rows) + 1) * ROW
    figure = Figure(figsize=(width + 0.3, height + 0.2))
    axes = figure.add_axes((0.15 / (width + 0.3), 0, width / (width + 0.3), 1))
    axes.set(xlim=(0, width), ylim=(height, -0.1))
    axes.axis("off")
    axes.text(0, 0.15, tree.title, ha="left", va="center", color=look.ink,
              fontsize=11, fontweight="bold")  # fmt: skip
    for line, text in enumerate([LEGEND, *tree.notes]):
        axes.text(0, 0.42 + line * ROW, text, ha="left", va="center", color=look.faint,
                  fontsize=POINTS)  # fmt: skip
    y = [head + row * ROW for row in rows]
    _draw_lines(axes, tree, x, y, lengths, look)
    leaves = [kind for node, kind in enumerate(tree.kinds) if kind and tree.left[node] < 0]
    known = sorted(set(leaves))
    styles = assign_styles(known, ())
    for node, text in enumerate(texts):
        is_leaf = tree.left[node] < 0
        kind = tree.kinds[node]
        color = styles[kind].color if is_leaf and kind else look.ink
        axes.text(x[node], y[node], text, ha="left", va="center", color=color, fontsize=POINTS,
                  fontweight="bold" if is_leaf else "normal")  # fmt: skip
        if is_leaf:
            axes.text(x[node] + lengths[node] * 1.12 + 0.12, y[node], f"{tree.share[node]:.1%}",
                      ha="left", va="center", color=look.faint, fontsize=POINTS)  # fmt: skip
    return render_png(figure, look)


def place_nodes(tree: DrawnTree) -> tuple[list[float], list[int]]:
    """Place the nodes: leaves in rows, a question between its answers.

    :param tree: the tree
    :return: (N,) row and (N,) level of each node
    """
    n = len(tree.left)
    rows, levels = [0.0] * n, [0] * n
    for node in range(n):
        for child in (tree.left[node], tree.right[node]):
            if child >= 0:
                levels[child] = levels[node] + 1
    waiting, row = [0], 0
    while waiting:
        node = waiting.pop()
        if tree.left[node] < 0:
            rows[node] = row
            row += 1
        else:
            waiting += [tree.right[node], tree.left[node]]
    for node in range(n - 1, -1, -1):
        if tree.left[node] >= 0:
            rows[node] = (rows[tree.left[node]] + rows[tree.right[node]]) / 2
    return rows, levels


def _draw_lines(
    axes: Axes,
    tree: DrawnTree,
    x: Sequence[float],
    y: Sequence[float],
    lengths: Sequence[float],
    look: Theme,
) -> None:
    for node, left in enumerate(tree.left):
        if left < 0:
            continue
        children = left, tree.right[node]
        bend = x[left] - GAP / 2
        pieces = [([x[node] + lengths[node] + 0.04, bend], [y[node]] * 2, tree.share[node])]
        for child in children:
            along = [bend, bend, x[child] - 0.06]
            pieces.append((along, [y[node], y[child], y[child]], tree.share[child]))
        for along, up, share in pieces:
            axes.plot(along, up, color=look.faint, alpha=0.45, solid_joinstyle="miter",
                      solid_capstyle="butt", linewidth=max(0.7, THICKEST * share))  # fmt: skip


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= LETTERS:
        return line
    return f"{line[: LETTERS - LAST - 1]}…{line[-LAST:]}"
