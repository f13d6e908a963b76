"""Critical steps: a mask policy that knows where the agent's own action matters (StateMask)."""

from sb3_explain.workflows.critical_steps.episode import CriticalSteps
from sb3_explain.workflows.critical_steps.fidelity import StateMaskFidelity
from sb3_explain.workflows.critical_steps.state_mask import StateMask

__all__ = ["CriticalSteps", "StateMask", "StateMaskFidelity"]
