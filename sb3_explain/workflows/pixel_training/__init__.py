"""Resumable training of SGQN and its baselines, and the benchmarks that compare them."""

from sb3_explain.workflows.pixel_training.benchmark import run_dmc, run_robot
from sb3_explain.workflows.pixel_training.recipes import RECIPES
from sb3_explain.workflows.pixel_training.training import train

__all__ = ["RECIPES", "run_dmc", "run_robot", "train"]
