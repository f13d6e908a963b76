"""Which metrics can be measured: explanations of which target, and of what is known of states."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import find_base, needs

#: metrics that ask how probable an action is; all others measure any target's attributions
OF_ACTIONS = frozenset(
    {
        *("accuracy", "accuracy_clear", "accuracy@0.1", "forced_action"),
        *("insertion", "deletion", "pixel_flipping", "specificity"),
        *("policy_preservation", "policy_preservation@0.1", "policy_specificity"),
    }
)
#: metrics of a quantity that is no action, such as the value
OF_QUANTITIES = frozenset({"value_preservation"})


def select_metrics(
    metrics: dict[str, Callable[..., Tensor]],
    target: int | ScalarTarget | None,
    agent: Agent,
    *,
    named: bool,
    boxes: bool = False,
) -> dict[str, Callable[..., Tensor]]:
    """Select the metrics that measure attributions of a target, by what is known of the states.

    :param metrics: metrics by name
    :param target: index of an action, or a scalar target; ``None`` for the greedy action
    :param agent: agent that is explained
    :param named: whether the user named the metrics
    :param boxes: whether boxes of objects are known
    :return: of a scalar target, the metrics that do not ask how probable an action is; of actions,
        those that do not ask by how much a quantity changes; without boxes, those that need none
    :raises ExplainError: if one of the others was named
    """
    if isinstance(target, ScalarTarget):
        refused = OF_ACTIONS
        reason = (
            f"asks how probable an action is, and {target.name} is none: give "
            f"target={agent.target_names[0]!r}, or another metric such as value_preservation"
        )
    else:
        refused = OF_QUANTITIES
        reason = (
            "asks by how much a quantity changes, and an action is explained: give target='value', "
            "or another metric such as policy_preservation"
        )
    others = [name for name in metrics if find_base(name) in refused]
    if named and others:
        raise ExplainError(f"{others[0]} {reason}")
    lacking = [name for name in metrics if "boxes" in needs(metrics[name]) and not boxes]
    if named and lacking:
        raise ExplainError(f"{lacking[0]} needs boxes of objects: call evaluate(boxes=...)")
    others += lacking
    return {name: metric for name, metric in metrics.items() if name not in others}
