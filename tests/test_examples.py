"""The examples, in a small form."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from sb3_explain import load_agent

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.slow


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


def write_mario(folder: Path) -> None:
    """An expert with random weights, and pictures in which blocks move."""
    torch.manual_seed(0)
    layers = {f"conv{i}": torch.nn.Conv2d(n, 32, 3) for i, n in enumerate((4, 32, 32, 32), 1)}
    layers |= {
        "linear": torch.nn.Linear(1152, 512),
        "actor_linear": torch.nn.Linear(512, 7),
        "critic_linear": torch.nn.Linear(512, 1),
    }
    weights = torch.nn.ModuleDict(layers).state_dict()
    safetensors.torch.save_file(weights, folder / "policy.safetensors")
    rgb = np.full((96, 240, 256, 3), 100, np.uint8)
    for step, picture in enumerate(rgb):
        picture[60:100, 2 * step : 2 * step + 40] = (255, step, 0)
    np.savez(
        folder / "states.npz", rgb=rgb, gray=rgb[:, 40:124, :84, 0], episode=np.arange(96) // 16
    )


def test_ablation_runs_what_can_be_run_and_nothing_twice(tmp_path):
    write_mario(tmp_path)
    output = tmp_path / "ablation"
    arguments = ("--data", str(tmp_path), "-o", str(output), "--small", "--only")
    said = run("ablation.py", *arguments, "default")
    assert "default: fitting on" in said
    said = run("ablation.py", *arguments, "default", "area=minmax", "network=fcn_resnet50")
    assert "default: fitting on" not in said and "area=minmax: fitting on" in said
    table = pd.read_csv(output / "table.csv")
    ours = table.query("run == 'area=minmax'").set_index("metric")
    assert ours["mean"].notna().all() and ours.loc["sparseness", "paper"] == 0.738
    assert table.groupby("part").size().to_dict() == {
        "area": 10, "component": 5, "max_area": 5, "network": 10, "baseline": 5,
    }  # fmt: skip
    fcn = table.query("run == 'network=fcn_resnet50'")
    assert fcn["mean"].notna().all() or fcn["not_run"].str.contains("extra 'vision'").all()
    assert "/ 94.2" in (output / "table.md").read_text()


def test_the_demo_agent_can_be_trained_in_parts(tmp_path):
    pytest.importorskip("ale_py")
    arguments = ("-o", str(tmp_path), "-n", "4096", "--checkpoint-every", "1024", "--episodes", "1")
    run("train_demo_agent.py", *arguments, "--stop-at", "1024")
    said = run("train_demo_agent.py", *arguments, "--stop-at", "2048")
    assert "going on from 1024 steps" in said and "mean return" in said
    agent = load_agent("ppo", "PongNoFrameskip-v4", folder=tmp_path)
    assert agent.observation_space.shape == (4, 84, 84)


def test_feature_importance(tmp_path, agents_folder):
    pytest.importorskip("Box2D")
    said = run(
        "feature_importance.py", "--folder", str(agents_folder), "-o", str(tmp_path),
        "--n-states", "3000", "--n-explained", "150",
    )  # fmt: skip
    lines = [line for line in said.splitlines() if " and " in line]
    assert len(lines) == 3
    for line in lines:
        correlations = [float(figure.split()[-1]) for figure in line.split(": ")[1].split(", ")]
        assert len(correlations) == 4 and min(correlations) > 0.8
    assert (tmp_path / "importance.png").exists()
