"""The agent that comes with the package: PPO on Pong, trained by examples/train_demo_agent.py."""

from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent

#: Pong's actions come in three pairs that do the same, so the best two are often nearly equally
#: probable: without sharper scores the loss hardly sees which of them the agent takes.
VISIONMASK_SETTINGS: dict[str, Any] = {"temperature": 0.2}


def demo_agent() -> Agent:
    """PPO on PongNoFrameskip-v4 (84x84x4, 6 actions); see the model card beside this file.

    :raises ExplainError: if the extra ``atari`` is not installed
    """
    return load_agent("ppo", "PongNoFrameskip-v4", folder=Path(__file__).parent)
