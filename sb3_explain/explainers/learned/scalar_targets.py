"""Masks of one quantity in place of the actions', such as the value: which, and its spread."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import make_blank
from sb3_explain.agents.targets.find import find_target
from sb3_explain.agents.targets.outputs import Outputs
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import join_keys
from sb3_explain.states.dataset import StateDataset

#: number of training states over which the spread is measured
SPREAD_STATES = 1000
#: number of states that are read at once
CHUNK = 128
#: share of its largest magnitude within which a quantity is constant: the rounding of float32
CONSTANT = 1e-6


def find_scalar_target(agent: Agent, name: object) -> ScalarTarget:
    """Find the quantity of a name, and check that the agent has it.

    :param agent: agent to explain
    :param name: name of a target that is no action
    :raises ExplainError: for anything but a name, an action, or a quantity that the agent lacks
    """
    if not isinstance(name, str):
        raise ExplainError(f"target={name!r}: give a name, such as target='value'")
    target = find_target(agent, name)
    if not isinstance(target, ScalarTarget):
        raise ExplainError(
            f"target={name!r}: masks of all actions are learned unless target= names something "
            "else, such as 'value': leave it out, and ask for the action when you explain"
        )
    with torch.no_grad():
        target(Outputs(agent, join_keys(make_blank(agent))), 1)
    return target


def measure_spread(agent: Agent, target: ScalarTarget, states: StateDataset) -> float:
    """Compute the standard deviation of a quantity over states.

    :param agent: agent to explain
    :param target: the quantity
    :param states: training states, of which at most :data:`SPREAD_STATES` are read
    :raises ExplainError: if the quantity is the same in all of them, so that there is nothing to
        explain
    """
    positions = states.spread(SPREAD_STATES)
    parts = np.split(positions, range(CHUNK, len(positions), CHUNK))
    read = [states.batch(agent, part, target).own_target_scores[:, 0] for part in parts]
    values = torch.cat(read).double()
    if not bool(values.isfinite().all()):
        raise ExplainError(f"{target.name} is not finite in all states: nothing can be learned")
    if float(values.max() - values.min()) <= CONSTANT * float(values.abs().max()):
        raise ExplainError(
            f"{target.name} is {float(values[0]):.3g} in all {len(values)} training states that "
            "were read: no part of a state matters to it, and there is nothing to learn"
        )
    return float(values.std(correction=0))


def read_spread(tensor: Tensor) -> float:
    """Read a saved spread.

    :raises ValueError: if it is no positive number
    """
    spread = float(tensor)
    if not 0 < spread < math.inf:
        raise ValueError(f"a spread of {spread}")
    return spread
