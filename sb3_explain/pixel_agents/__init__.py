"""SGQN and its baselines trained in parts that resume, and the benchmark that compares them."""

from sb3_explain.pixel_agents.benchmark import run_dmc
from sb3_explain.pixel_agents.recipes import RECIPES
from sb3_explain.pixel_agents.training import train

__all__ = ["RECIPES", "run_dmc", "train"]
