"""Probing: a generative model of an agent's states, searched for states of interest."""

from sb3_explain.probing.activation import activation_maximization
from sb3_explain.probing.distance import novelty
from sb3_explain.probing.generator import StateGenerator
from sb3_explain.probing.goggle_returns import goggles
from sb3_explain.probing.search import probe
from sb3_explain.probing.settings import VARIANTS

__all__ = [
    "VARIANTS",
    "StateGenerator",
    "activation_maximization",
    "goggles",
    "novelty",
    "probe",
]
