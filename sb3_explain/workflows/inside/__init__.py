"""Inside of an agent: what its layers know, and which states excite their units."""

from sb3_explain.workflows.inside.linear_probes import LinearProbes, linear_probe

__all__ = ["LinearProbes", "linear_probe"]
