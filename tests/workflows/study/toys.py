"""A small agent whose layers can be drawn anew, and simulated participants of its study."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.recipe import EnvRecipe
from tests.toys import SIZE, ThirdsNet


class LinearThirdsNet(ThirdsNet):
    """The agent of the three columns, whose gain is a layer."""

    def __init__(self, gain: float = 60.0) -> None:
        super().__init__()
        self.last = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(gain * torch.eye(3))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        scores, values = super().forward(observations)
        return self.last(scores / self.gain), values


def make_agent(gain: float = 60.0) -> Agent:
    """The agent, or, with a negative gain, one that does other things."""
    return Agent.from_module(
        LinearThirdsNet(gain),
        spaces.Box(0, 255, (2, SIZE, SIZE), np.uint8),
        spaces.Discrete(3),
        action_names=["left", "stay", "right"],
        recipe=EnvRecipe("Dot-v0", frame_stack=2),
    )
