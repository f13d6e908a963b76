"""Actions that action masks forbid: their score is the same whatever is observed."""

from __future__ import annotations

from gymnasium import spaces

from sb3_explain.agents.policy_views import FORBIDDEN
from sb3_explain.states.batch import StateBatch


def describe_forbidden(batch: StateBatch) -> str:
    """Say which of the explained actions masks forbid, so that nothing speaks for or against them.

    :param batch: states that are explained
    :return: a sentence; empty if all explained actions are allowed, and for other targets
    """
    if batch.scalar is not None or isinstance(batch.agent.action_space, spaces.Box):
        return ""
    scores = batch.own_target_scores.gather(1, batch.target[:, None])[:, 0]
    # of a bit that is forbidden, half of the score
    rows = (scores <= FORBIDDEN / 2).nonzero()[:, 0].tolist()
    if not rows:
        return ""
    named = batch.name_targets()
    names = ", ".join(dict.fromkeys(named[row] for row in rows))
    where = ""
    if len(batch) > 1:
        where = f" in observation{'s' * (len(rows) > 1)} {', '.join(str(row + 1) for row in rows)}"
    return f"The action masks forbid {names}{where}: its score is the same whatever is observed."
