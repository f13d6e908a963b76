"""The layers of a policy: their names, their outputs, a copy whose layers may be changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import image_keys
from sb3_explain.agents.snapshot import snapshot
from sb3_explain.envs.spaces import join_keys, spaces_by_key

#: a module's name in the policy and what it returned, in the order in which modules were passed
Passed = list[tuple[str, Tensor]]


@contextmanager
def watch_modules(policy: nn.Module, wanted: Callable[[nn.Module], bool]) -> Iterator[Passed]:
    """A list that modules and their outputs enter as the policy is passed.

    :param policy: whose modules are watched
    :param wanted: whether a module is
    """
    passed: Passed = []

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: passed.append((name, output))

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in policy.named_modules()
        if wanted(module)
    ]
    try:
        yield passed
    finally:
        for hook in hooks:
            hook.remove()


def make_blank(agent: Agent, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """One observation of zeros, by key.

    :param agent: who would observe it
    :param dtype: of all keys; that of the observation space when not given
    """
    return {
        key: torch.from_numpy(np.zeros((1, *(space.shape or ())), space.dtype)).to(
            agent.device, dtype
        )
        for key, space in spaces_by_key(agent.observation_space).items()
    }


def find_layers(agent: Agent) -> list[str]:
    """Names of the layers that the scores pass through, the last one first.

    A layer is a module with parameters that knows how to draw them anew. The agent does not count
    the pass of zeros by which they are found.
    """
    policy: nn.Module = agent.view.policy

    def is_layer(module: nn.Module) -> bool:
        return hasattr(module, "reset_parameters") and any(True for _ in module.parameters())

    with torch.no_grad(), watch_modules(policy, is_layer) as passed:
        agent.view.scores(join_keys(make_blank(agent)), None)
    return list(dict.fromkeys(name for name, _ in reversed(passed)))


def copy_agent(agent: Agent) -> Agent:
    """A copy of the agent with weights of its own, whose forward passes count from 0."""
    policy = agent.view.policy
    copied = copy.copy(agent)
    copied.view = copy.deepcopy(agent.view, {id(policy): snapshot(policy)})
    copied.forwards = 0
    return copied


def find_outputs(agent: Agent, key: str, kind: type[nn.Module]) -> dict[str, Tensor]:
    """Outputs of the modules that a key passes on its way to the scores, by name, in order.

    A policy also holds modules that its scores never pass: critics, target networks. So zeros are
    passed once, and the outputs that have a gradient with respect to the key are those on its
    way. The agent does not count this pass.

    :param agent: whose policy is passed
    :param key: of the observation, empty for the only one
    :param kind: class of the modules
    """
    policy: nn.Module = agent.view.policy
    dtype = next((parameter.dtype for parameter in policy.parameters()), torch.float32)
    zeros = make_blank(agent, dtype)
    zeros[key].requires_grad_()
    with torch.enable_grad(), watch_modules(policy, lambda m: isinstance(m, kind)) as passed:
        agent.view.scores(join_keys(zeros), None)
    return {
        name: output.detach()
        for name, output in passed
        if isinstance(output, Tensor) and output.requires_grad
    }


def find_image_layers(agent: Agent, kind: type[nn.Module]) -> dict[str, list[str]]:
    """Names of the modules with an output (B, C, h, w) that each image passes, in order.

    :param agent: whose policy is passed
    :param kind: class of the modules
    :return: by key of the image; without the images that pass none
    """
    layers = {
        key: [name for name, output in find_outputs(agent, key, kind).items() if output.dim() == 4]
        for key in image_keys(agent)
    }
    return {key: passed for key, passed in layers.items() if passed}
