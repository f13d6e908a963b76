"""The whole policy of an agent as a decision tree that a person can read, and a machine run."""

from sb3_explain.workflows.tree.distill import distill
from sb3_explain.workflows.tree.policy_tree import PolicyTree

__all__ = ["PolicyTree", "distill"]
