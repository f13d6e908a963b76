"""The benchmark: a grid of agents x explainers x seeds, with tables and figures."""

from sb3_explain.workflows.benchmark.agents import NamedAgent
from sb3_explain.workflows.benchmark.grid import run_benchmark
from sb3_explain.workflows.benchmark.output import Benchmark

__all__ = ["Benchmark", "NamedAgent", "run_benchmark"]
