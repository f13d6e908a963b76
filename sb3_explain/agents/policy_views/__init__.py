"""A differentiable view of each class of policy in stable-baselines3 and sb3-contrib.

A view turns observations into two tensors, scores and values. It never samples: actions are
sampled in :mod:`sb3_explain.agents.action_spaces`.
"""

from sb3_explain.agents.policy_views.base import FORBIDDEN, PolicyView, forbid
from sb3_explain.agents.policy_views.half_precision import HalfPrecisionView
from sb3_explain.agents.policy_views.make import list_views, make_view
from sb3_explain.agents.policy_views.modules import ModuleView
from sb3_explain.agents.policy_views.overrides import list_own_methods
from sb3_explain.agents.policy_views.wrapped import WrappedView

__all__ = [
    "FORBIDDEN", "HalfPrecisionView", "ModuleView", "PolicyView", "WrappedView", "forbid",
    "list_own_methods", "list_views", "make_view",
]  # fmt: skip
