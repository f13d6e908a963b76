"""The examples, in a small form."""

from pathlib import Path

import pytest

from sb3_explain import load_agent
from tests.processes import ROOT, run_in_fork

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.slow


def run(name: str, *arguments: str, packages: Path = ROOT) -> str:
    """What an example prints; ``packages`` may hold packages beside those that are installed."""
    return run_in_fork(EXAMPLES / name, arguments, packages=(packages, ROOT))


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
