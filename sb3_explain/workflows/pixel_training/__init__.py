"""Resumable training of SGQN and its baselines, and the benchmark that compares them."""

from sb3_explain.workflows.pixel_training.benchmark import run_dmc
from sb3_explain.workflows.pixel_training.recipes import RECIPES
from sb3_explain.workflows.pixel_training.training import train

__all__ = ["RECIPES", "run_dmc", "train"]
