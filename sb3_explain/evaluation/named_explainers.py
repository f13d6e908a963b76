"""The explainers that are evaluated, by the names that their rows have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import require_class
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.make import make_unfitted
from sb3_explain.states.dataset import StateDataset

#: what may be given as explainers: one or several, each by its name or made
Explainers: TypeAlias = str | Explainer | Iterable[str | Explainer] | Mapping[str, str | Explainer]


def name_explainers(
    agent: Agent, explainers: Explainers, states: StateDataset
) -> dict[str, Explainer]:
    """Return explainers by the names of their rows, and make those that are given by name.

    :param agent: the agent that they explain
    :param explainers: a name, an explainer, a list of both, or a dict of both by other names
    :param states: states that the baselines of explainers are fitted on which are given by name
    :raises ExplainError: for an unknown name, an explainer that has still to be fitted, one of
        another agent, or two of the same name
    """
    if isinstance(explainers, str | Explainer):
        explainers = [explainers]
    if not isinstance(explainers, Iterable):
        require_class("each of explainers", explainers, Explainer)
    given = list(explainers.values() if isinstance(explainers, Mapping) else explainers)
    made = [make_named(one, agent, states) if isinstance(one, str) else one for one in given]
    for explainer in made:
        require_class("each of explainers", explainer, Explainer)
        if explainer.agent is not agent:
            raise ExplainError(f"{explainer.name} explains another agent than the one given")
        if isinstance(explainer, FittedExplainer):
            explainer.require_fitted()
    names = explainers if isinstance(explainers, Mapping) else [one.name for one in made]
    named = dict(zip(names, made, strict=True))
    if len(named) < len(made):
        raise ExplainError("two explainers have the same name: give a dict of names to them")
    return named


def make_named(name: str, agent: Agent, states: StateDataset) -> Explainer:
    """Make an explainer that needs no fit.

    :param name: its name in the registry
    :param agent: agent to explain
    :param states: states that its baseline is fitted on, if it has one
    :raises ExplainError: for an unknown name, an agent that it does not support, or an explainer
        that has to be fitted
    """
    if issubclass(EXPLAINERS[name], FittedExplainer):
        raise ExplainError(
            f"{name} learns: fit it first, on states that it is not evaluated on: "
            f"make_explainer({name!r}, agent, states) does so; then give what it returns"
        )
    return make_unfitted(name, agent, states)
