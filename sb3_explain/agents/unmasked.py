"""A maskable policy whose action masks are not given chooses among all actions."""

from __future__ import annotations

import logging
from weakref import WeakSet

from sb3_explain.agents.agent import Agent

logger = logging.getLogger(__name__)

#: agents of which this was told already
_TOLD: WeakSet[Agent] = WeakSet()


def warn_if_unmasked(agent: Agent, remedy: str) -> None:
    """Warn, once for each agent, that nothing says which actions a maskable policy may choose.

    :param agent: agent whose policy may take action masks, and is given none
    :param remedy: how to give them
    """
    if not agent.view.maskable or agent in _TOLD:
        return
    _TOLD.add(agent)
    logger.warning(
        "this agent (%s) chooses among allowed actions, and no action masks are given: all are "
        "taken for allowed; %s",
        agent.algo,
        remedy,
    )
