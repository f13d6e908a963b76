"""The layers of a policy: their names, their outputs, and a copy whose layers may be changed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sb3_explain.agents.activations import watch_modules
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image_keys
from sb3_explain.agents.reinitialize import can_reinitialize
from sb3_explain.agents.relus import WatchReLUs
from sb3_explain.agents.snapshot import snapshot
from sb3_explain.agents.trial_pass import trial_pass
from sb3_explain.envs.spaces import Observations, join_keys, spaces_by_key

#: observations -> an output of the agent that depends on them
Read = Callable[[Observations], Tensor]


def make_blank(agent: Agent) -> dict[str, Tensor]:
    """Make one observation of zeros, of the same type as the policy's parameters.

    :param agent: agent whose observation space is used
    :return: (1, ...) tensors by key
    """
    dtype = next((parameter.dtype for parameter in agent.view.policy.parameters()), torch.float32)
    return {
        key: torch.zeros(1, *(space.shape or ()), dtype=dtype, device=agent.device)
        for key, space in spaces_by_key(agent.observation_space).items()
    }


def find_layers(agent: Agent) -> list[str]:
    """Find the names of the layers that the scores pass through, from the last to the first.

    A layer is a module with parameters that can draw them anew (``reset_parameters``). They are
    found by a forward pass of zeros, which the agent does not count.
    """
    policy: nn.Module = agent.view.policy
    with torch.no_grad(), watch_modules(policy, can_reinitialize) as passed:
        agent.view.scores(join_keys(make_blank(agent)), None)
    return list(dict.fromkeys(name for name, _ in reversed(passed)))


def copy_agent(agent: Agent) -> Agent:
    """Copy an agent with its weights; forward passes of the copy are counted from 0."""
    # layout and categories are found before weights change
    policy, _ = agent.view.policy, agent.categories
    copied = copy.copy(agent)
    copied.view = copy.deepcopy(agent.view, {id(policy): snapshot(policy)})
    copied.forwards = 0
    return copied


def find_outputs(
    agent: Agent, key: str, kind: type[nn.Module], read: Read | None = None
) -> dict[str, Tensor]:
    """Find the modules between a key of the observation and the scores, with their outputs.

    A policy also has modules that its scores do not depend on: critics, target networks. So zeros
    are passed once, and the outputs that have a gradient with respect to the key are those on its
    way. The agent does not count this pass.

    :param agent: agent whose policy is passed
    :param key: key of the observation; empty if it is no dict
    :param kind: class of the modules
    :param read: function of observations that computes another output than the scores
    :return: outputs by name of the module, in the order of the pass
    """
    policy: nn.Module = agent.view.policy
    with trial_pass(policy), watch_modules(policy, lambda m: isinstance(m, kind)) as passed:
        zeros = make_blank(agent)
        zeros[key].requires_grad_()
        if read is None:
            agent.view.scores(join_keys(zeros), None)
        else:
            forwards = agent.forwards
            read(join_keys(zeros))
            agent.forwards = forwards
    return {
        name: output.detach()
        for name, output in passed
        if isinstance(output, Tensor) and output.requires_grad
    }


def passes_relu(agent: Agent) -> bool:
    """Check whether a ReLU, a module or a function, lies between an observation and the scores.

    It is found by a forward pass of zeros, which the agent does not count.
    """
    outputs: list[Tensor] = []
    with trial_pass(agent.view.policy), WatchReLUs(outputs.append):
        zeros = {key: observed.requires_grad_() for key, observed in make_blank(agent).items()}
        agent.view.scores(join_keys(zeros), None)
    return bool(outputs)


def find_image_layers(
    agent: Agent, kind: type[nn.Module], read: Read | None = None
) -> dict[str, list[str]]:
    """Find the modules with outputs (B, C, h, w) between each image and the scores.

    :param agent: agent whose policy is passed
    :param kind: class of the modules
    :param read: function of observations that computes another output than the scores
    :return: names of the modules in the order of the pass, by key of the image; images that pass
        none are left out
    """
    layers = {
        key: [
            name
            for name, output in find_outputs(agent, key, kind, read).items()
            if output.dim() == 4 and len(output) == 1  # not one picture for each of its frames
        ]
        for key in find_image_keys(agent)
    }
    return {key: passed for key, passed in layers.items() if passed}
