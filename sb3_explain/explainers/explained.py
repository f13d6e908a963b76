"""What an explainer explains: which targets, and which keys of the observation."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import ClassVar, Protocol

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.requirements import find_alternative

logger = logging.getLogger(__name__)


class Explaining(Protocol):
    """An explainer, as far as it says what it explains."""

    agent: Agent
    name: ClassVar[str]
    actions_only: ClassVar[str]
    own_target: ScalarTarget | None

    @property
    def left_out(self) -> Collection[str]:
        """Keys of the observation that it does not explain."""


#: names of methods, each with the keys that it was told to leave out
_TOLD: set[tuple[str, ...]] = set()


def require_explained(explainer: Explaining, target: int | ScalarTarget | None) -> None:
    """Check that an explainer explains a target.

    :param explainer: an explainer
    :param target: index of an action, or a scalar target; ``None`` for the greedy action
    :raises ExplainError: if it explains actions alone, with the reason, or something else
    """
    own, scalar = explainer.own_target, target if isinstance(target, ScalarTarget) else None
    if own is not None:
        if scalar is None or not scalar.is_same(own):
            said = f"this {explainer.name} explains {own.name} alone"
            raise ExplainError(f"{said}: give target={own.name!r}")
    elif scalar is not None and explainer.actions_only:
        raise ExplainError(
            f"{explainer.name} explains actions, not {scalar.name}: {explainer.actions_only}; "
            f"{find_alternative(explainer.agent)} explains it"
        )


def warn_if_left_out(explainer: Explaining) -> None:
    """Warn, once for each method, of keys of a Dict observation that get 0 whatever they do.

    :param explainer: an explainer, before it explains
    """
    keys = sorted(explainer.left_out)
    if not keys or (explainer.name, *keys) in _TOLD:
        return
    _TOLD.add((explainer.name, *keys))
    pictures = set(keys) <= set(explainer.agent.layout.pictures)
    logger.warning(
        "%s does not explain %s of the observation, which gets 0: %s or lime does",
        explainer.name,
        ", ".join(map(repr, keys)),
        "occlusion" if pictures else "feature_ablation",
    )
