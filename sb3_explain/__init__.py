"""Explanations of Stable-Baselines3 agents that can be trusted.

>>> from sb3_explain import VisionMask, collect, evaluate, load_agent
"""

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.dmc import ids as _dmc
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.probing import StateGenerator, probe
from sb3_explain.probing.targets import TARGETS
from sb3_explain.sgqn import RAD, SGQN, SODA, SVEA, DrQ, PixelSAC
from sb3_explain.states.baselines import BASELINES
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset

__version__ = "0.1.0"

_dmc.register()

__all__ = [
    "BASELINES",
    "EXPLAINERS",
    "METRICS",
    "NETWORKS",
    "RAD",
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
