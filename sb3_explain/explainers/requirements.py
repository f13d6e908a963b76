"""Requirements of methods: functions that return why an agent does not meet one, or ``None``."""

from __future__ import annotations

from typing import ClassVar, Protocol

from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_image_layers, passes_relu
from sb3_explain.agents.observations import find_feature_keys, find_image
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.states.batch import StateBatch


class Method(Protocol):
    """An explainer, or its class, as far as it says which agents it supports."""

    name: ClassVar[str]

    @staticmethod
    def unsupported(agent: Agent) -> str | None:
        """Return why the method does not support ``agent``, in a few words; ``None`` if it does."""


@check_arguments
def needs_image(agent: Agent) -> str | None:
    """Return why a method that perturbs images does not support an agent; ``None`` if it does.

    >>> from sb3_explain import needs_image
    >>> needs_image(agent)
    'it explains images, and this agent observes none'
    >>> needs_image(image_agent) is None
    True

    :param agent: agent to explain
    """
    if find_image(agent) is not None:
        return None
    return "it explains images, and this agent observes none"


@check_arguments
def needs_probabilities(agent: Agent) -> str | None:
    """Return why a method that compares probabilities of actions does not support an agent."""
    if isinstance(agent.action_space, spaces.Box):
        return "it compares probabilities of actions, and this agent's actions are continuous (Box)"
    return None


@check_arguments
def needs_numbers(agent: Agent) -> str | None:
    """Return why a method of gradients does not support an agent.

    It observes categories alone, or its scores depend on numbers without a gradient.
    """
    if all(bool(each.all()) for each in agent.categories.looked_up.values()):
        return f"it needs numbers, and {_describe_category(agent)}"
    if agent.cut_keys:
        which = f"observation's {agent.cut_keys[0]!r}" if agent.cut_keys[0] else "observation"
        return (
            f"it needs gradients, and the policy computes without one from the {which} "
            "(torch.no_grad, detach or NumPy)"
        )
    return None


@check_arguments
def needs_continuous(agent: Agent) -> str | None:
    """Return why a method of noise or blends does not support an agent: all features are held."""
    if needs_numbers(agent) is not None:
        return needs_numbers(agent)
    if all(bool(each.all()) for each in agent.categories.held.values()):
        return "it needs values in between, and this agent observes bits or masks, which have none"
    return None


@check_arguments
def needs_no_category(agent: Agent) -> str | None:
    """Return why a method that draws observations does not support an agent: a category."""
    if any(bool(each.any()) for each in agent.categories.looked_up.values()):
        return f"it needs numbers, and {_describe_category(agent)}"
    return None


def _describe_category(agent: Agent) -> str:
    """Name the first key of an agent's observation that has a category."""
    looked_up = agent.categories.looked_up
    key = next(key for key, each in looked_up.items() if each.any())
    space = spaces_by_key(agent.observation_space)[key]
    tokens = isinstance(space, (spaces.Box, spaces.MultiBinary))
    kind = "its policy looks the numbers up" if tokens else type(space).__name__
    which = f"observation's {key!r}" if key else "observation"
    return f"the {which} is a category ({kind})"


@check_arguments
def needs_features(agent: Agent) -> str | None:
    """Return why a method that removes features of vectors does not support an agent."""
    if find_feature_keys(agent):
        return None
    return "it removes features of vectors, and this agent observes images"


@check_arguments
def needs_few_features(agent: Agent, n_most: int) -> str | None:
    """Return why a method that solves for all features at once does not support an agent.

    :param agent: agent to explain
    :param n_most: largest number of features that it solves for
    """
    n_features = sum(find_feature_keys(agent).values())
    if n_features <= n_most:
        return None
    return f"it solves for {n_most} features at most, and this agent observes {n_features}"


@check_arguments
def needs_relu(agent: Agent) -> str | None:
    """Return why guided backpropagation does not support an agent: no key passes a ReLU."""
    if passes_relu(agent):
        return None
    return "it changes the gradient of ReLUs, and this agent's scores pass none"


@check_arguments
def needs_convolution(agent: Agent) -> str | None:
    """Return why Grad-CAM does not support an agent: no image passes an ``nn.Conv2d``."""
    if agent.cut_keys:
        return needs_numbers(agent)
    if find_image_layers(agent, nn.Conv2d):
        return None
    return "it explains images by a convolution (nn.Conv2d), and this agent's scores pass none"


def find_removal(agent: Agent) -> str:
    """Return the name of an explainer that supports an agent, whatever the agent is.

    It is ``"feature_ablation"``, or ``"occlusion"`` for an agent that observes images alone: both
    only replace parts of the observation and read the score. The former leaves out images.

    :param agent: agent to explain
    """
    return "feature_ablation" if needs_features(agent) is None else "occlusion"


def find_alternative(agent: Agent, *, gradients: bool = True) -> str:
    """Return the name of an explainer that supports an agent and leaves out no key of it.

    :param agent: agent to explain
    :param gradients: whether it may read gradients; what is explained may have none
    """
    if find_image(agent) is None or needs_features(agent) is not None:
        return find_removal(agent)
    return "integrated_gradients" if gradients and needs_continuous(agent) is None else "lime"


def require_known_scores(batch: StateBatch) -> StateBatch:
    """Return a batch if its target has a score: ``model.predict`` keeps no state of the critic.

    :param batch: states to explain
    :raises ExplainError: if the target depends on an LSTM state that is not known
    """
    held = batch.policy_inputs.get("lstm_states")
    if held is None or not held.isnan().any():
        return batch
    try:
        known = not batch.own_target_scores.isnan().any()
    except ExplainError:  # it takes a value that is not known for one that there is not
        known = False
    if not known:
        raise ExplainError(
            "model.predict returns the LSTM state of the actor alone: for a target of the critic "
            "give states.policy_inputs([...]), where states = collect(agent)"
        )
    return batch


def require_supported(explainer: Method | type[Method], agent: Agent) -> None:
    """Check that an explainer supports an agent.

    :param explainer: an explainer or its class
    :param agent: agent to explain
    :raises ExplainError: if the method does not support it, with the reason, and the name of a
        method that does
    """
    reason = explainer.unsupported(agent)
    if reason is not None:
        raise ExplainError(
            f"{explainer.name} does not support this agent: {reason}; {find_alternative(agent)} "
            "does, and list_explainers(agent) names all that do"
        )
