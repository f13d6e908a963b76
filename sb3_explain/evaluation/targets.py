"""Which metrics measure explanations of which target."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import find_base

#: metrics that ask how probable an action is; all others measure any target's attributions
OF_ACTIONS = frozenset(
    {
        *("accuracy", "accuracy_clear", "accuracy@0.1", "forced_action"),
        *("insertion", "deletion", "pixel_flipping", "specificity"),
        *("policy_preservation", "policy_preservation@0.1", "policy_specificity"),
    }
)


def select_metrics(
    metrics: dict[str, Callable[..., Tensor]],
    target: int | ScalarTarget | None,
    agent: Agent,
    *,
    named: bool,
) -> dict[str, Callable[..., Tensor]]:
    """Select the metrics that measure attributions of a target.

    :param metrics: metrics by name
    :param target: index of an action, or a scalar target; ``None`` for the greedy action
    :param agent: agent that is explained
    :param named: whether the user named the metrics
    :return: the same metrics; of a scalar target, those that do not ask how probable an action is
    :raises ExplainError: if such a metric was named for a scalar target
    """
    if not isinstance(target, ScalarTarget):
        return metrics
    of_actions = [name for name in metrics if find_base(name) in OF_ACTIONS]
    if named and of_actions:
        raise ExplainError(
            f"{of_actions[0]} asks how probable an action is, and {target.name} is none: give "
            f"target={agent.target_names[0]!r}, or another metric such as sparseness"
        )
    return {name: metric for name, metric in metrics.items() if name not in of_actions}
