"""Explanations of Stable-Baselines3 agents."""

__version__ = "0.1.0"
