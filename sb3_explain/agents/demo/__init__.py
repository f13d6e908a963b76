"""The agent that comes with the package: PPO on Pong, trained by examples/train_demo_agent.py."""

from pathlib import Path

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.envs.feature_names import FeatureNames
from sb3_explain.envs.given_action_names import ActionNames

#: the model, as the zoo saves it
FILE = Path(__file__).parent / "ppo" / "PongNoFrameskip-v4_1" / "PongNoFrameskip-v4.zip"
#: who the agent is and what its actions do, for pages
DESCRIPTION = (
    "The agent plays the green paddle on the right. RIGHT and RIGHTFIRE move it up, LEFT and "
    "LEFTFIRE down; NOOP and FIRE let it be."
)


def demo_agent(
    *, action_names: ActionNames | None = None, feature_names: FeatureNames | None = None
) -> Agent:
    """Load the small PPO agent on PongNoFrameskip-v4 that comes with the package.

    It observes 4 stacked gray frames of 84 x 84 pixels and has 6 actions.

    >>> from sb3_explain import demo_agent
    >>> agent = demo_agent()
    >>> agent.algo, agent.observation_space.shape, agent.action_names[:3]
    ('ppo', (4, 84, 84), ('NOOP', 'FIRE', 'RIGHT'))

    :param action_names: other names of its 6 actions, such as ``("wait", "fire", "up", ...)``
    :param feature_names: names of its features, see :class:`Agent`
    :raises ExplainError: if the extra ``atari`` is not installed
    """
    agent = load_agent(
        "ppo",
        "PongNoFrameskip-v4",
        folder=Path(__file__).parent,
        action_names=action_names,
        feature_names=feature_names,
    )
    agent.provenance["description"] = DESCRIPTION
    agent.origin = {"demo": True}
    return agent
