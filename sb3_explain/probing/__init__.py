"""Probing: states of interest, synthesised for a frozen agent."""

from sb3_explain.probing.activation import activation_maximization
from sb3_explain.probing.distance import novelty
from sb3_explain.probing.generator import VARIANTS, StateGenerator
from sb3_explain.probing.goggle_returns import goggles
from sb3_explain.probing.search import probe

__all__ = [
    "VARIANTS",
    "StateGenerator",
    "activation_maximization",
    "goggles",
    "novelty",
    "probe",
]
