"""Inside of an agent: what its layers know, and which states excite their units."""

from sb3_explain.workflows.inside.inside import Inside, inside
from sb3_explain.workflows.inside.linear_probes import LinearProbes, linear_probe
from sb3_explain.workflows.inside.units import ActivatingStates, activating_states

__all__ = [
    "ActivatingStates",
    "Inside",
    "LinearProbes",
    "activating_states",
    "inside",
    "linear_probe",
]
