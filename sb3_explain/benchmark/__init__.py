"""The grid of agents x explainers x seeds: run, resumed, and told in tables and figures."""

from sb3_explain.benchmark.agents import NamedAgent
from sb3_explain.benchmark.grid import run_benchmark
from sb3_explain.benchmark.output import Benchmark

__all__ = ["Benchmark", "NamedAgent", "run_benchmark"]
