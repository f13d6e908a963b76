"""The explainers of a report: those that are named, those that were fitted before, or a default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import TargetLike, is_scalar
from sb3_explain.common.controls import list_asked
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.gradients.grad_cam import GradCAM
from sb3_explain.explainers.make import default_explainer, make_unfitted
from sb3_explain.explainers.named import Explainers, name_all
from sb3_explain.explainers.requirements import require_supported
from sb3_explain.report.measured import read_metrics
from sb3_explain.states.dataset import StateDataset


@dataclasses.dataclass(frozen=True)
class Choice:
    """The explainers of a report, before there are states.

    :param agent: the agent that they explain
    :param explainers: explainers by the names that are shown; those that are in ``by_name`` are
        made again when there are states, which their baselines are fitted on
    :param by_name: names of explainers that were given by name
    :param fit: name of the explainer that is to be fitted
    :param own_target: what it learns in place of the actions; ``None`` for these
    """

    agent: Agent
    explainers: Mapping[str, Explainer]
    by_name: frozenset[str]
    fit: str | None = None
    own_target: TargetLike = None

    @property
    def learns(self) -> bool:
        """Whether one of them learns from states, so that it is measured on others."""
        fitted = (isinstance(one, FittedExplainer) for one in self.explainers.values())
        return self.fit is not None or any(fitted)

    def make_unfitted(self, **settings: Any) -> FittedExplainer | None:
        """Make the explainer that is to be fitted; ``None`` if there is none."""
        if self.fit is None:
            return None
        if self.own_target is not None:
            settings = {"target": self.own_target, **settings}
        made = make_unfitted(self.fit, self.agent, **settings)
        assert isinstance(made, FittedExplainer)
        return made

    def make_ready(
        self, train: StateDataset, fitted: FittedExplainer | None = None
    ) -> dict[str, Explainer]:
        """Return all explainers, those that learn first.

        :param train: states that they may learn from, and that baselines are fitted on
        :param fitted: the explainer that was to be fitted
        :raises ExplainError: if one has learned from other states
        """
        ready: dict[str, Explainer] = {} if fitted is None else {fitted.name: fitted}
        for name, one in self.explainers.items():
            if isinstance(one, FittedExplainer):
                require_same_split(one, train)
            made = make_unfitted(one.name, self.agent, train) if name in self.by_name else one
            ready[name] = made
        return dict(
            sorted(ready.items(), key=lambda named: not isinstance(named[1], FittedExplainer))
        )


def require_same_split(explainer: FittedExplainer, train: StateDataset) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` if it may have learned from test states."""
    if explainer.learned_from.get("train") != train.fingerprint():
        raise ExplainError(
            f"the {explainer.name} was fitted on another split of the states (another seed, or "
            "states were added since): use the same, or fit in another output folder"
        )


def choose_explainers(
    agent: Agent,
    output: Path,
    explainers: Explainers | None = None,
    fit: str | None = None,
    target: TargetLike = None,
) -> Choice:
    """Choose the explainers of a report, and refuse what cannot work before anything is played.

    :param agent: the agent that they explain
    :param output: folder of the report, whose fitted explainers are loaded
    :param explainers: explainers and names; those of :func:`.list_defaults` when not given
    :param fit: name of an explainer that learns, which is to be fitted
    :param target: what is to be explained
    :raises ExplainError: for an unknown name, an explainer of another agent or one that does not
        support it, or if one that learns was not fitted and is not to be
    """
    if fit is not None and not issubclass(EXPLAINERS[fit], FittedExplainer):
        raise ExplainError(f"{fit} needs no fit: name it by explainers={fit!r}, without fit={fit}")
    if fit is not None:
        require_supported(EXPLAINERS[fit], agent)
    saved = [name for name in list_fitted(output) if name != fit]
    chosen: dict[str, Explainer] = {}
    by_name = set()
    named = name_all(list_defaults(agent, target) if explainers is None else explainers)
    scalar = is_scalar(agent, target)  # most of those that learn explain actions
    for name in saved:
        if name not in named and not scalar:
            named = {name: name, **named}
    for name, each in named.items():
        if not isinstance(each, str):
            if each.agent is not agent:
                raise ExplainError(f"{each.name} explains another agent than the one given")
            chosen[name] = each
            continue
        kind = EXPLAINERS[each]
        if not issubclass(kind, FittedExplainer):
            require_supported(kind, agent)
            chosen[name] = make_unfitted(each, agent)
            by_name.add(name)
        elif each in saved:
            chosen[name] = kind.load(output / each, agent)
        elif each != fit:
            raise ExplainError(f"{each} learns, and was not fitted: give fit={each!r}")
    return Choice(agent, chosen, frozenset(by_name), fit, target if scalar else None)


def list_defaults(agent: Agent, target: TargetLike = None) -> list[str]:
    """Return the names of the methods that explain an agent side by side unless others are named.

    None of them learns. The first is :func:`.default_explainer`; the second explains a picture too,
    if there is one: by Grad-CAM, unless its map is uniform. Where these leave keys of a Dict
    observation out, methods follow that explain them.

    :param agent: agent to explain
    :param target: what is explained
    """
    names = [default_explainer(agent, target)]
    left_out = set(make_unfitted(names[0], agent).left_out)
    for name in ("grad_cam", "integrated_gradients", "occlusion", "feature_ablation"):
        if name in names or EXPLAINERS[name].unsupported(agent) is not None:
            continue
        made = make_unfitted(name, agent)
        if isinstance(made, GradCAM) and made.flat_keys:
            continue
        if len(names) == 1 or left_out - set(made.left_out):
            names.append(name)
            left_out &= set(made.left_out)
    return names


def list_measured(output: Path) -> list[str]:
    """List the names of the explainers that were measured in an output folder, without controls."""
    measured = output / "metrics.json"
    if not measured.exists():
        return []
    return [name for name in list_asked(read_metrics(measured)["explainers"]) if name in EXPLAINERS]


def list_fitted(output: Path) -> list[str]:
    """List the names of the explainers that were fitted in an output folder."""
    return [
        name
        for name, kind in EXPLAINERS.items()
        if issubclass(kind, FittedExplainer) and (output / name / f"{name}.json").exists()
    ]
