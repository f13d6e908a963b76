"""The layers of a policy: their names, their outputs, a copy whose layers may be changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.snapshot import snapshot
from sb3_explain.envs.spaces import join_keys, spaces_by_key


def layers_of(agent: Agent) -> list[str]:
    """Names of the layers that the scores pass through, the last one first."""
    probe = twin(agent)
    policy: nn.Module = probe.view.policy
    passed: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: passed.append(name)

    for name, module in policy.named_modules():
        if hasattr(module, "reset_parameters") and any(True for _ in module.parameters()):
            module.register_forward_hook(note(name))
    blank = {
        name: torch.from_numpy(np.zeros((1, *(space.shape or ())), space.dtype)).to(agent.device)
        for name, space in spaces_by_key(agent.observation_space).items()
    }
    with torch.no_grad():
        probe.scores(join_keys(blank))
    return list(dict.fromkeys(reversed(passed)))


def twin(agent: Agent) -> Agent:
    """A copy of the agent with weights of its own."""
    policy = agent.view.policy
    copied = copy.copy(agent)
    copied.view = copy.deepcopy(agent.view, {id(policy): snapshot(policy)})
    copied.forwards = 0
    return copied


def outputs_on_the_way(agent: Agent, key: str, kind: type[nn.Module]) -> dict[str, Tensor]:
    """Outputs of the modules that a key passes on its way to the scores, by name, in order.

    A policy also holds modules that its scores never pass: critics, target networks. So zeros are
    passed once, and the outputs that have a gradient with respect to the key are those on its
    way. The agent does not count this pass.

    :param key: its name, empty for the only one
    :param kind: class of the modules
    """
    policy = agent.view.policy
    outputs: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.requires_grad:
                outputs[name] = output.detach()

        return hook

    dtype = next((parameter.dtype for parameter in policy.parameters()), torch.float32)
    zeros = {
        name: torch.zeros(1, *space.shape, dtype=dtype, device=agent.device)  # type: ignore[misc]
        for name, space in spaces_by_key(agent.observation_space).items()
    }
    zeros[key].requires_grad_()
    hooks = [
        module.register_forward_hook(note(name))
        for name, module in policy.named_modules()
        if isinstance(module, kind)
    ]
    try:
        with torch.enable_grad():
            agent.view.scores(join_keys(zeros), None)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def layers_of_images(agent: Agent, kind: type[nn.Module]) -> dict[str, list[str]]:
    """Names of the modules with an output (B, C, h, w) that each image passes, in order.

    :return: by image key; without the images that pass none
    """
    images = [
        name
        for name, space in spaces_by_key(agent.observation_space).items()
        if len(space.shape or ()) == 3
    ]
    layers = {
        name: [
            layer
            for layer, output in outputs_on_the_way(agent, name, kind).items()
            if output.dim() == 4
        ]
        for name in images
    }
    return {name: passed for name, passed in layers.items() if passed}
