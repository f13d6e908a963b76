"""How critical stored states are, by the StateMask that was fitted in their folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.report.viewer.playback import Bookmark
from sb3_explain.states.batch import PASS
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.critical_steps.episode import pick_apart
from sb3_explain.workflows.critical_steps.state_mask import StateMask

#: folder of a StateMask within an output folder, and the name of its importance for highlights
CRITICAL = "critical"
#: number of critical steps that a page marks
MARKED = 3
#: number of states that one state is compared with
COMPARED = 200


def load_fitted(agent: Agent, output: Path) -> StateMask | None:
    """Load the StateMask of an output folder; ``None`` if nobody fitted one.

    :param agent: the agent
    :param output: output folder
    :raises ExplainError: if it is damaged, or of another agent
    """
    folder = output / CRITICAL
    return StateMask.load(agent, folder) if (folder / "last.safetensors").exists() else None


def rate_states(mask: StateMask, states: StateDataset) -> NDArray[np.float64]:
    """Return the importance of stored states, (n,) in [0, 1].

    :param mask: a StateMask that was fitted
    :param states: n states of its agent
    """
    rated = [
        mask.importance(
            mask.agent.tensor(states.observations(some)),
            states.policy_inputs(some).get("lstm_states"),
        )
        for some in np.array_split(np.arange(len(states)), -(-len(states) // PASS))
    ]
    return np.concatenate(rated)


def mark_critical_steps(
    output: Path, agent: Agent, states: StateDataset, shown: NDArray[np.int64]
) -> list[Bookmark]:
    """Mark the most critical of the steps that a page shows, by the StateMask of its folder.

    :param output: output folder; nothing is marked if it holds no StateMask
    :param agent: the agent of the states
    :param states: states of whole episodes
    :param shown: positions of those that are shown
    :raises ExplainError: if the StateMask is damaged, or of another agent
    """
    mask = load_fitted(agent, output)
    if mask is None:
        return []
    importance = rate_states(mask, states.subset(shown))
    return [
        Bookmark(int(shown[place]), f"critical step {rank}: importance {importance[place]:.2f}")
        for rank, place in enumerate(pick_apart(importance, MARKED), start=1)
    ]


def describe_state(mask: StateMask, states: StateDataset, position: int) -> str:
    """Say how critical a state is beside others.

    :param mask: a StateMask that was fitted
    :param states: states of its agent
    :param position: position of the state
    """
    (importance,) = rate_states(mask, states.subset([position]))
    others = rate_states(mask, states.subset(states.spread(COMPARED)))
    share = float((others < importance).mean())
    return (
        f"Its own action matters by {importance:.2f} in [0, 1], by StateMask: more than in "
        f"{share:.0%} of {len(others)} states."
    )
