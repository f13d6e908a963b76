"""Checks of the arguments of callbacks, which may be values of a YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.signatures import argument_names
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.make import make_explainer


def require_names(what: str, given: str | Sequence[str]) -> list[str]:
    """Return a list of names, which may be given as a single string.

    :param what: name of the argument, for the message
    :param given: value of the argument
    :raises ExplainError: if there are none
    """
    names = [given] if isinstance(given, str) else list(given or ())
    if not names:
        raise ExplainError(f"{what}={given!r}: give at least one name")
    return names


def require_ready(name: str, arguments: Mapping[str, Any]) -> type[Explainer]:
    """Return the class of an explainer that needs no fit.

    :param name: name of the explainer
    :param arguments: its arguments, without the agent
    :raises ExplainError: if the name is unknown, the explainer has to be fitted, or has no such
        argument
    """
    explainer: type[Explainer] = EXPLAINERS[name]
    if issubclass(explainer, FittedExplainer):
        raise ExplainError(
            f"{name} has to be fitted to states first: use VisionMaskCallback, or an explainer "
            "that needs no fit"
        )
    require_known(f"argument of {name}", arguments, argument_names(explainer) - {"agent"})
    return explainer


def make_trial(name: str, agent: Agent, arguments: Mapping[str, Any]) -> Explainer:
    """Make an explainer before there are states that its baseline could be fitted on.

    :param name: name of the explainer
    :param agent: agent to be explained
    :param arguments: its arguments
    :raises ExplainError: if it does not support the agent, or for values out of range
    """
    given = {key: value for key, value in arguments.items() if key != "baseline"}
    return make_explainer(name, agent, **given)
