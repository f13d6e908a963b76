"""The agent that comes with the package: PPO on Pong, trained by examples/train_demo_agent.py."""

from pathlib import Path

from sb3_explain.agent import Agent
from sb3_explain.loading import load_agent


def demo_agent() -> Agent:
    """PPO on PongNoFrameskip-v4 (84x84x4, 6 actions); see the model card beside this file.

    :raises ExplainError: if the extra ``atari`` is not installed
    """
    return load_agent("ppo", "PongNoFrameskip-v4", folder=Path(__file__).parent)
