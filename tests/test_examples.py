"""The examples, in a small form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_explain import load_agent

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str) -> str:
    job = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert job.returncode == 0, job.stderr[-2000:]
    return job.stdout


def test_super_mario(tmp_path):
    data = Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1"
    if not (data / "policy.safetensors").exists():
        pytest.skip("SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1")
    said = run(
        "super_mario.py", "--data", str(data), "-o", str(tmp_path),
        "--n-states", "700", "--epochs", "1", "--n-evaluated", "8",
    )  # fmt: skip
    assert "paper" in said and "sparseness" in said
    assert (tmp_path / "report.html").exists()


def test_the_demo_agent_can_be_trained_in_parts(tmp_path):
    pytest.importorskip("ale_py")
    arguments = ("-o", str(tmp_path), "-n", "4096", "--checkpoint-every", "1024", "--episodes", "1")
    run("train_demo_agent.py", *arguments, "--stop-at", "1024")
    said = run("train_demo_agent.py", *arguments, "--stop-at", "2048")
    assert "going on from 1024 steps" in said and "mean return" in said
    agent = load_agent("ppo", "PongNoFrameskip-v4", folder=tmp_path)
    assert agent.observation_space.shape == (4, 84, 84)
