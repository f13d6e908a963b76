"""What a policy takes besides the observation, and is not given: it is told once."""

from __future__ import annotations

import logging
from weakref import WeakSet

from sb3_explain.agents.agent import Agent

logger = logging.getLogger(__name__)

#: agents of which this was told already
_UNMASKED: WeakSet[Agent] = WeakSet()
_STATELESS: WeakSet[Agent] = WeakSet()


def warn_if_unmasked(agent: Agent, remedy: str) -> None:
    """Warn, once for each agent, that nothing says which actions a maskable policy may choose.

    :param agent: agent whose policy may take action masks, and is given none
    :param remedy: how to give them
    """
    if not agent.view.maskable or agent in _UNMASKED:
        return
    _UNMASKED.add(agent)
    logger.warning(
        "this agent (%s) chooses among allowed actions, and no action masks are given: all are "
        "taken for allowed; %s",
        agent.algo,
        remedy,
    )


def warn_if_stateless(agent: Agent) -> None:
    """Warn, once for each agent, that nothing says what a recurrent policy remembers.

    :param agent: agent whose policy may be recurrent, and is given no LSTM states
    """
    if agent in _STATELESS or not agent.recurrent:
        return
    _STATELESS.add(agent)
    logger.warning(
        "this agent (%s) remembers what it observed, and no lstm_states are given: each "
        "observation is taken for the first of its episode; give policy_inputs={'lstm_states': "
        "the pair that model.predict returned before it}, or None if it is the first",
        agent.algo,
    )
