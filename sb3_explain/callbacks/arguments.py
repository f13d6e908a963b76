"""Arguments of callbacks: values of a yml file, and explainers by their names."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.signatures import argument_names
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.make import default_explainer

log = logging.getLogger(__name__)


def number(value: Any) -> float:
    """A number; NaN for what is none. ``1e3`` of a yml file is read as a word, and counts."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return math.nan
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    return math.nan


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number; a float of a yml file may stand for it.

    :raises ExplainError: for anything else, or one below ``least``
    """
    given = number(value)
    if not math.isfinite(given) or int(given) != given or given < least:
        raise ExplainError(f"{name}={value!r}: give a whole number of at least {least}")
    return int(given)


def names_of(what: str, given: str | Sequence[str]) -> list[str]:
    """Names, of which there may be a single one.

    :param what: they are called
    :raises ExplainError: if there are none
    """
    names = [given] if isinstance(given, str) else list(given or ())
    if not names:
        raise ExplainError(f"{what}={given!r}: name one at least")
    return names


def require_ready(name: str, arguments: Mapping[str, Any]) -> type[Explainer]:
    """The class of an explainer that can be made of any agent at once.

    :param name: in the registry
    :param arguments: of it, beside the agent
    :raises ExplainError: if there is none, it has to learn, or has no such argument
    """
    explainer: type[Explainer] = EXPLAINERS[name]
    if issubclass(explainer, FittedExplainer):
        raise ExplainError(
            f"{name} has to learn from states first: use VisionMaskCallback, or an explainer that "
            "does not learn"
        )
    require_known(f"argument of {name}", arguments, argument_names(explainer) - {"agent"})
    return explainer


def find_supported(name: str, agent: Agent) -> str:
    """The explainer's name, or that of the one that stands in for it where it does not support.

    There is one for guided backpropagation alone, the default, which needs ReLUs.
    """
    usual = default_explainer(agent)
    if name != "guided_backprop" or name == usual:
        return name
    reason = EXPLAINERS[name].unsupported(agent)
    log.warning("%s does not support this agent (%s): %s stands in", name, reason, usual)
    return usual
