"""Explainers that are given by their names, or made, one or several, and how they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.targets.find import TargetLike, find_target, is_scalar
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.make import make_explainer, make_unfitted
from sb3_explain.states.dataset import StateDataset

#: what may be given as explainers: one or several, each by its name or made
Explainers: TypeAlias = str | Explainer | Iterable[str | Explainer] | Mapping[str, str | Explainer]

#: what a policy needs beside an observation, which is no option of an explainer
POLICY_INPUTS = {"action_masks", "lstm_states"}


def name_explainers(
    agent: Agent,
    explainers: Explainers,
    states: StateDataset | None = None,
    *,
    fit: bool = True,
    target: TargetLike = None,
    **options: Any,
) -> dict[str, Explainer]:
    """Return explainers by the names that are shown, and make those that are given by name.

    :param agent: the agent that they explain
    :param explainers: a name, an explainer, a list of both, or a dict of both by other names
    :param states: states for those that are given by name: baselines are fitted on them, and
        explainers that learn
    :param fit: whether explainers that learn may be given by name; they learn masks of what is
        explained
    :param target: what will be explained
    :param options: arguments of the class of an explainer that is given by name
    :raises ExplainError: for an unknown name, an explainer that has still to be fitted, one of
        another agent, or two of the same name
    """
    named = name_all(explainers)
    for one in named.values():
        if not isinstance(one, str):
            _require_ready(one, agent, options)
    # masks are learned for a quantity, or for all actions
    asked = {"target": target} if isinstance(target, str) and is_scalar(agent, target) else {}
    return {
        name: _make(one, agent, states, fit, asked, options) if isinstance(one, str) else one
        for name, one in named.items()
    }


def name_all(explainers: Explainers) -> dict[str, str | Explainer]:
    """Return explainers, and the names of others, by the names that are shown.

    :param explainers: a name, an explainer, a list of both, or a dict of both by other names
    :raises ExplainError: for anything else, or if two have the same name
    """
    if isinstance(explainers, str | Explainer) or not isinstance(explainers, Iterable):
        explainers = [explainers]
    given = list(explainers.values() if isinstance(explainers, Mapping) else explainers)
    for one in given:
        if not isinstance(one, str):
            _require_explainer(one)
    names = [one if isinstance(one, str) else one.name for one in given]
    if isinstance(explainers, Mapping):
        names = [str(name) for name in explainers]
    if len(set(names)) < len(names):
        raise ExplainError("two explainers have the same name: give a dict of names to them")
    return dict(zip(names, given, strict=True))


def read_explained_agent(agent: Agent | BaseAlgorithm, explainers: Explainers | None) -> Agent:
    """Return an agent as it is; of a model, the agent of the explainers that explain it already.

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param explainers: explainers, of which some may be made
    :raises ExplainError: for anything else
    """
    known = read_agent(agent)
    if known is not agent and explainers is not None:
        for one in name_all(explainers).values():
            if not isinstance(one, str) and one.agent.fingerprint() == known.fingerprint():
                return one.agent
    return known


def name_explainer(
    agent: Agent, explainer: Any, states: StateDataset | None = None, **options: Any
) -> Explainer:
    """Return one explainer, and make it if it is given by its name.

    :param agent: the agent that it explains
    :param explainer: a name, or an explainer
    :param states: states as :func:`name_explainers` takes them
    :param options: what else :func:`name_explainers` takes
    :raises ExplainError: if it is not one, and where :func:`name_explainers` raises it
    """
    made = list(name_explainers(agent, explainer, states, **options).values())
    if len(made) != 1:
        raise ExplainError(
            f"{len(made)} explainers are given: give one, or call compare for several"
        )
    return made[0]


def _require_explainer(given: object) -> None:
    if isinstance(given, Explainer):
        return
    kind = given if isinstance(given, type) else type(given)
    raise ExplainError(
        f"an explainer must be of class Explainer, not {kind.__name__}: give its name, such as "
        f"{getattr(given, 'name', 'gradient')!r}, or what make_explainer(name, agent) returns"
    )


def _require_ready(explainer: Explainer, agent: Agent, options: Mapping[str, Any]) -> None:
    """Stop unless an explainer explains the agent, and has been fitted."""
    if options:
        raise ExplainError(f"{next(iter(options))}: give it when you make the explainer")
    if explainer.agent is not agent and explainer.agent.fingerprint() != agent.fingerprint():
        raise ExplainError(f"{explainer.name} explains another agent than the one given")
    if isinstance(explainer, FittedExplainer):
        explainer.require_fitted()


def is_target(agent: Agent, name: str) -> bool:
    """Return whether an agent has a target of a name."""
    try:
        find_target(agent, name)
    except ExplainError:
        return False
    return True


def _make(
    name: str,
    agent: Agent,
    states: StateDataset | None,
    fit: bool,
    asked: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Explainer:
    if name not in EXPLAINERS and is_target(agent, name):
        raise ExplainError(f"{name!r} is no explainer but a target: give target={name!r}")
    learns = issubclass(EXPLAINERS[name], FittedExplainer)
    for given in POLICY_INPUTS & options.keys():
        raise ExplainError(f"{given}: give policy_inputs={{{given!r}: ...}}")
    if fit:
        return make_explainer(name, agent, states, **{**(asked if learns else {}), **options})
    if learns:
        raise ExplainError(
            f"{name} learns: fit it first, on states that it is not evaluated on: "
            f"make_explainer({name!r}, agent, states) does so; then give what it returns"
        )
    return make_unfitted(name, agent, states, **options)
