"""Agents that other processes load by name, for the tests of the benchmark."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.states.dataset import StateDataset
from tests.toys import SIZE, ThirdsNet, dot_agent, dot_states

#: folder of a grid: as soon as it holds a result, one worker is killed
KILL_IN = "SB3_EXPLAIN_TEST_KILL_IN"


def first() -> Agent:
    """The agent of the toys."""
    return dot_agent()


def second() -> Agent:
    """Another agent, less sure of itself. Its worker is killed once, where that is asked for."""
    folder = os.environ.get(KILL_IN)
    if folder is not None and list(Path(folder).glob("*/seed_*/*.json")):
        try:
            Path(folder, "kill").unlink()
        except FileNotFoundError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    net = ThirdsNet()
    with torch.no_grad():
        net.gain /= 4
    return Agent.from_module(
        net,
        spaces.Box(0, 255, (2, SIZE, SIZE), np.uint8),
        spaces.Discrete(3),
        recipe=EnvRecipe("Dot-v0", frame_stack=2),
    )


def of_vectors() -> Agent:
    """An agent that sees no image."""
    return Agent.from_module(
        nn.Linear(4, 2, bias=False),
        spaces.Box(-1, 1, (4,), np.float32),
        spaces.Discrete(2),
        recipe=EnvRecipe("CartPole-v1"),
    )


def with_states() -> tuple[Agent, StateDataset]:
    """An agent that brings its states."""
    agent = dot_agent()
    return agent, dot_states(agent, n=300, length=10)


def broken() -> Agent:
    """Raises what nobody foresaw."""
    raise RuntimeError("the weights\nare gone")
