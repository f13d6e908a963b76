"""An explainer by its name."""

from __future__ import annotations

from sb3_explain.agents.agent import Agent
from sb3_explain.explainers import EXPLAINERS


def default_explainer(agent: Agent) -> str:
    """``"guided_backprop"``, or ``"gradient"`` for an agent without ReLUs, which it needs."""
    return "gradient" if EXPLAINERS["guided_backprop"].unsupported(agent) else "guided_backprop"
