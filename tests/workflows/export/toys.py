"""Small output folders, as ``explain`` leaves them behind."""

from __future__ import annotations

from pathlib import Path

from sb3_explain import collect
from sb3_explain.agents.agent import Agent
from sb3_explain.workflows.whole_episodes import EPISODES
from tests.toys import dot_agent


def make_folder(folder: Path, agent: Agent, *, n: int = 80, render: bool = True) -> Path:
    """Play whole episodes into an output folder."""
    collect(
        agent, n_states=n, folder=folder / EPISODES, max_per_episode=0, render=render, seed=0,
        progress=False,
    )  # fmt: skip
    return folder


def make_dots(folder: Path) -> tuple[Agent, Path]:
    """An agent that observes pictures, and two of its episodes of 40 steps."""
    agent = dot_agent()
    return agent, make_folder(folder, agent)
