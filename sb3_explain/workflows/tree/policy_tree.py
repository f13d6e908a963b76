"""PolicyTree: what an agent does as a decision tree that a person can read, and a machine run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json, write_text
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import check_arguments
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.report.figures import save
from sb3_explain.report.page import make_title
from sb3_explain.report.tree_figure import DrawnTree, tree_figure
from sb3_explain.report.tree_page import write_tree_page
from sb3_explain.workflows.tree.code import write_c, write_python, write_rules
from sb3_explain.workflows.tree.decision_tree import DecisionTree
from sb3_explain.workflows.tree.measures import TreeMeasures

#: leaves of the largest tree that is drawn
DRAWN = 256


@dataclasses.dataclass(frozen=True)
class PolicyTree(DecisionTree):
    """What an agent does as a decision tree.

    :func:`distill` makes one. It needs neither the agent nor scikit-learn nor torch to act.

    >>> from sb3_explain import distill
    >>> tree = distill(agent, max_leaves=4, n_rounds=1, n_episodes=2, n_evaluated=5, progress=False)
    >>> tree.predict(np.zeros((3, 4))).shape, tree.fidelity.n > 0
    ((3,), True)
    >>> code = tree.to_c()

    :param nodes: the questions and the actions
    :param feature_names: M names of the features that it may ask for
    :param actions: names of the values of each part of an action; of continuous actions the names
        of all dimensions as one group
    :param action_shape: shape of an action, as the environment takes it
    :param action_dtype: NumPy's name of its dtype
    :param is_continuous: whether actions are continuous
    :param first_action: number of the first discrete action
    :param sums: (S, M - S) coefficients of the last S features, which are sums of the others
    :param weighting: what the weights of states were, in words
    :param measures: fidelity, returns and importance, from other episodes than those of the fit
    :param agent: the agent as plain data
    """

    weighting: str
    measures: TreeMeasures
    agent: Mapping[str, Any]

    @property
    def fidelity(self) -> Interval:
        """Share of the agent's states in which it does the same; R squared if continuous."""
        return self.measures.fidelity

    @property
    def returns(self) -> Interval | None:
        """Mean return of its episodes; ``None`` if it did not play."""
        return self.measures.returns

    @property
    def agent_returns(self) -> Interval | None:
        """Mean return of the agent in episodes of equal seeds; ``None`` if it did not play."""
        return self.measures.agent_returns

    @property
    def importance(self) -> Mapping[str, Interval]:
        """How far fidelity falls if a feature is permuted between states, by its name."""
        return self.measures.importance

    @property
    def name(self) -> str:
        """Say in a line how large it is, and of which agent."""
        return (
            f"decision tree of {self.nodes.n_leaves} leaves and at most "
            f"{int(self.nodes.levels.max())} questions for {make_title(self.agent)}"
        )

    def list_results(self) -> list[str]:
        """Say in a line each what it earns, how far it does what the agent does, and by what."""
        found = self.measures
        lines = []
        if found.returns is not None and found.agent_returns and found.difference:
            lines.append(
                f"return {say(found.returns)} over {found.returns.n} episodes, the agent's "
                f"{say(found.agent_returns)}; difference {say(found.difference)}"
            )
        what = "share of the actions' variance explained" if self.is_continuous else "same action"
        fidelity = f"{what}: {say_share(found.fidelity)} in the agent's states"
        if not self.is_continuous:
            fidelity += f" (its most frequent action alone: {found.constant_fidelity:.1%})"
        if found.own_fidelity is not None:
            fidelity += f", {say_share(found.own_fidelity)} in the tree's own"
        needed = [f"{name} {one.mean:.2f}" for name, one in found.importance.items()]
        lines.append(fidelity)
        lines.append(f"importance (fall of that share if permuted): {', '.join(needed) or 'none'}")
        return [*lines, f"weights of states: {self.weighting}"]

    def __str__(self) -> str:
        """Return what was measured, and the rules."""
        return "\n".join([self.name, *self.list_results(), "", *self.list_rules()])

    def __repr__(self) -> str:
        """Say in a line how large it is, and of which agent."""
        return self.name

    def list_rules(self) -> list[str]:
        """Write it in words, line by line, with how often each leaf is reached."""
        return write_rules(self, self.measures.share, self.measures.agreement)

    def to_python(self) -> str:
        """Write it as a module in Python, whose function ``act`` imports nothing.

        Its argument is one state: the numbers, as :meth:`predict` takes them.

        :return: the code
        """
        return write_python(self, self.name)

    def to_c(self) -> str:
        """Write it as a function ``act`` in C89, which includes nothing.

        ``int act(const double x[M])`` returns a discrete action; ``void act(const double x[M],
        double action[A])`` writes the A numbers of any other.

        :return: the code
        """
        return write_c(self, self.name)

    @check_arguments
    def plot(self, path: str | Path | None = None) -> bytes:
        """Draw it: questions from left to right, and how many states come through each.

        :param path: a PNG file to write as well
        :return: PNG
        :raises ExplainError: if it has more than 256 leaves
        """
        if self.nodes.n_leaves > DRAWN:
            raise ExplainError(
                f"a tree of {self.nodes.n_leaves} leaves is too large to be drawn: distill one of "
                f"at most {DRAWN} (max_leaves={DRAWN})"
            )
        png = tree_figure(self.arrange())
        if path is not None:
            save(path, png)
        return png

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as ``tree.json`` has it."""
        nodes, found = self.nodes, self.measures
        measures = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        return {
            "nodes": {
                field.name: getattr(nodes, field.name).tolist()
                for field in dataclasses.fields(nodes)
            },
            "features": list(self.feature_names),
            "sums": self.sums.tolist(),
            "actions": [list(names) for names in self.actions],
            "action_shape": list(self.action_shape),
            "action_dtype": self.action_dtype,
            "is_continuous": self.is_continuous,
            "first_action": self.first_action,
            "weights": self.weighting,
            "measures": {
                **{name: one._asdict() if isinstance(one, Interval) else one
                   for name, one in measures.items()},
                "importance": {name: one._asdict() for name, one in found.importance.items()},
                "share": found.share.tolist(),
                "agreement": found.agreement.tolist(),
            },
            "agent": dict(self.agent),
        }  # fmt: skip

    @check_arguments
    def save(self, folder: str | Path) -> Path:
        """Write ``tree.html``, ``.txt``, ``.png``, ``.py``, ``.c`` and ``.json`` into a folder.

        :param folder: the folder, which is made if it is not there
        :return: path of the page
        """
        folder = Path(folder)
        made = describe_machine()
        write_json(folder / "tree.json", {**self.to_dict(), "made": made})
        texts = {"tree.txt": f"{self}\n", "tree.py": self.to_python(), "tree.c": self.to_c()}
        for name, text in texts.items():
            write_text(folder / name, text)
        drawn = self.plot(folder / "tree.png") if self.nodes.n_leaves <= DRAWN else None
        return write_tree_page(
            folder / "tree.html",
            title=make_title(self.agent),
            date=made["date"],
            results=[self.name, *self.list_results()],
            picture=drawn,
            bars=self.list_bars(),
            rules="\n".join(self.list_rules()),
            codes={"Python": texts["tree.py"], "C": texts["tree.c"]},
            provenance={"Agent": self.agent, "Made with": made},
        )

    def list_bars(self) -> list[Bars]:
        """List what is drawn of its measures: the returns, and the importance of features."""
        found = self.measures
        bars = []
        if found.returns is not None and found.agent_returns is not None:
            means = {"the tree": found.returns, "the agent": found.agent_returns}
            bars.append(Bars.of_intervals("Return", "mean return", means))
        if found.importance:
            unit = "fall of fidelity if the feature is permuted"
            bars.append(Bars.of_intervals("Importance of features", unit, found.importance))
        return bars

    def arrange(self) -> DrawnTree:
        """Return what is drawn of it."""
        nodes, n = self.nodes, self.n_inputs
        names = [*self.feature_names[:n], *(f"sum {i + 1}" for i in range(len(self.sums)))]
        asked = [
            f"{names[f]} ≤ {float(t):.10g}" if f >= 0 else self.describe_action(node)
            for node, (f, t) in enumerate(zip(nodes.feature, nodes.threshold, strict=True))
        ]
        kinds = [None if self.is_continuous else self.describe_action(node)
                 for node in range(len(asked))]  # fmt: skip
        return DrawnTree(
            self.name, asked, kinds, nodes.left.tolist(), nodes.right.tolist(),
            self.measures.share.tolist(),
            [f"{names[f]}: {self.feature_names[f]}" for f in range(n, len(names))
             if f in nodes.feature],
        )  # fmt: skip


def say(one: Interval) -> str:
    """A mean with its interval, in words."""
    return f"{one.mean:.4g} (95 % interval {one.low:.4g} to {one.high:.4g})"


def say_share(one: Interval) -> str:
    """A share with its interval, in words."""
    return f"{one.mean:.1%} ({one.low:.1%} to {one.high:.1%})"
