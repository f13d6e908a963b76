"""Explanations of Stable-Baselines3 agents that can be trusted.

>>> from sb3_explain import VisionMask, collect, evaluate, load_agent
"""

from sb3_explain.agent import Agent
from sb3_explain.collection import collect
from sb3_explain.envs.dmc import ids as _dmc
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.errors import ExplainError
from sb3_explain.evaluation import evaluate
from sb3_explain.explainers.visionmask import VisionMask
from sb3_explain.loading import load_agent
from sb3_explain.probing import StateGenerator, probe
from sb3_explain.registry import EXPLAINERS, METRICS, NETWORKS, REFERENCES, TARGETS
from sb3_explain.sgqn import RAD, SGQN, SODA, SVEA, DrQ, PixelSAC
from sb3_explain.states import StateDataset

__version__ = "0.1.0"

_dmc.register()

__all__ = [
    "EXPLAINERS",
    "METRICS",
    "NETWORKS",
    "RAD",
    "REFERENCES",
    "SGQN",
    "SODA",
    "SVEA",
    "TARGETS",
    "Agent",
    "DrQ",
    "EnvRecipe",
    "ExplainError",
    "PixelSAC",
    "StateDataset",
    "StateGenerator",
    "VisionMask",
    "collect",
    "evaluate",
    "load_agent",
    "probe",
]
