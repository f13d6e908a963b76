"""A map of what an agent does: clusters of its states, and the ways between them."""

from sb3_explain.workflows.behavior.behavior_map import BehaviorMap, behavior_map
from sb3_explain.workflows.behavior.clusters import BehaviorCluster

__all__ = ["BehaviorCluster", "BehaviorMap", "behavior_map"]
