"""What a method needs of an agent, and the reason why an agent is not supported."""

from __future__ import annotations

from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_image_layers, find_outputs
from sb3_explain.agents.observations import feature_keys
from sb3_explain.envs.spaces import is_image, spaces_by_key


def needs_image(agent: Agent) -> str | None:
    """Why an agent does not support a method that perturbs pictures, if the agent sees none."""
    if any(map(is_image, spaces_by_key(agent.observation_space).values())):
        return None
    return "it explains images, and this agent observes none"


def needs_probabilities(agent: Agent) -> str | None:
    """Why an agent does not support a method that compares probabilities, if the agent has none."""
    if isinstance(agent.action_space, spaces.Box):
        return "it compares probabilities of actions, and this agent's actions are continuous (Box)"
    return None


def needs_numbers(agent: Agent) -> str | None:
    """Why an agent does not support a method that differentiates or blends what is observed, if it
    cannot.
    """
    for name, space in spaces_by_key(agent.observation_space).items():
        if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
            which = f"observation's {name!r}" if name else "observation"
            return f"it needs numbers, and the {which} is a category ({type(space).__name__})"
    return None


def needs_features(agent: Agent) -> str | None:
    """Why an agent does not support a method that removes features, if the agent observes images
    alone.
    """
    if feature_keys(agent):
        return None
    return "it removes features of vectors, and this agent observes images: use occlusion"


def needs_relu(agent: Agent) -> str | None:
    """Why an agent does not support guided backpropagation, if no key passes a ReLU that is a
    module.
    """
    by_key = spaces_by_key(agent.observation_space)
    if any(find_outputs(agent, name, nn.ReLU) for name in by_key):
        return None
    return "it changes the gradient of nn.ReLU modules, and this agent's scores pass none"


def needs_convolution(agent: Agent) -> str | None:
    """Why an agent does not support Grad-CAM, if no image passes a convolution that is a module."""
    if find_image_layers(agent, nn.Conv2d):
        return None
    return "it explains images by a convolution (nn.Conv2d), and this agent's scores pass none"
