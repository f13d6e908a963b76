"""The agent that comes with the package: PPO on Pong, trained by examples/train_demo_agent.py."""

from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent

#: Pong's actions come in three pairs with the same effect, so the best two are often about equally
#: probable: without sharper scores the loss hardly sees which of them the agent takes.
VISIONMASK_SETTINGS: dict[str, Any] = {"temperature": 0.2}


def demo_agent() -> Agent:
    """Load the small PPO agent on PongNoFrameskip-v4 that comes with the package.

    It observes 4 stacked gray frames of 84 x 84 pixels and has 6 actions.

    >>> from sb3_explain import demo_agent
    >>> agent = demo_agent()
    >>> agent.algo, agent.observation_space.shape, agent.action_names[:3]
    ('ppo', (4, 84, 84), ('NOOP', 'FIRE', 'RIGHT'))

    :raises ExplainError: if the extra ``atari`` is not installed
    """
    return load_agent("ppo", "PongNoFrameskip-v4", folder=Path(__file__).parent)
