"""The agent that comes with the package."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sb3_explain.agents.demo

pytest.importorskip("ale_py")


def test_the_demo_agent_loads_and_plays_pong():
    agent = sb3_explain.agents.demo.demo_agent()
    assert agent.action_names == ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
    assert agent.observation_space.shape == (4, 84, 84) and agent.n_stack == 4
    scores, values = agent.scores_and_values(torch.zeros(2, 4, 84, 84))
    assert scores.shape == (2, 6) and torch.isfinite(scores).all() and torch.isfinite(values).all()
    assert agent.recipe.make().reset(seed=0)[0].dtype == np.uint8


def test_it_is_small_and_has_a_model_card():
    folder = Path(sb3_explain.agents.demo.__file__).parent
    assert sum(path.stat().st_size for path in folder.rglob("*.*")) <= 8e6
    assert "mean return" in (folder / "README.md").read_text()
