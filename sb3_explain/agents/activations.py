"""The outputs of a policy's layers: which there are, and what they say of some states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from sb3_explain.agents.policy_views import PolicyView
from sb3_explain.agents.sampled_observations import sample_observations
from sb3_explain.agents.trial_pass import trial_pass
from sb3_explain.envs.spaces import join_keys, split_keys

#: name of a module in the policy and its output, for each module in the order of the pass
Passed = list[tuple[str, Tensor]]
#: numbers of states of two trial passes: the axis whose size follows them is that of the states
TRIALS = (2, 3)


@contextmanager
def watch_modules(policy: nn.Module, is_watched: Callable[[nn.Module], bool]) -> Iterator[Passed]:
    """Record the outputs of modules during the forward passes in the ``with`` block.

    :param policy: policy whose modules are watched
    :param is_watched: function that says whether a module is watched
    :return: a list to which the name and the output of each watched module are appended
    """
    passed: Passed = []

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: passed.append((name, output))

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in policy.named_modules()
        if is_watched(module)
    ]
    try:
        yield passed
    finally:
        for hook in hooks:
            hook.remove()


def take_first(output: Any) -> Tensor | None:
    """Return a module's output, or the first of several, as LSTMs and attention layers return them.

    :param output: what a module returned; ``None`` is returned if it is no tensor
    """
    first = output[0] if isinstance(output, tuple) and output else output
    return first if isinstance(first, Tensor) else None


def drop_time(module: nn.Module, output: Tensor) -> Tensor:
    """Return what a layer says of states without the axis of the one step that an LSTM is passed.

    :param module: the layer
    :param output: (B, ...) its output, with the states first
    """
    return output.flatten(1) if isinstance(module, nn.RNNBase) and output.dim() == 3 else output


def find_batch_axes(view: PolicyView, space: spaces.Space[Any]) -> dict[str, int]:
    """Find the modules that scores and values pass, and the axis of states in their outputs.

    Sampled observations are passed, two and then three. A module whose output has no axis of these
    sizes is left out, such as one that is passed the frames of all states as rows of their own.

    :param view: reads scores and values off the policy
    :param space: observation space of the policy
    :return: the axis of the states by name of the module, in the order of the pass
    """
    shapes: list[dict[str, tuple[int, ...]]] = []
    for n in TRIALS:
        sampled: Any = sample_observations(space, n, np.random.default_rng(0))
        with trial_pass(view.policy) as like, watch_modules(view.policy, lambda _: True) as passed:
            by_key = {
                key: torch.as_tensor(one).to(like) for key, one in split_keys(sampled).items()
            }
            view.scores_and_values(join_keys(by_key), None)
        found: dict[str, tuple[int, ...]] = {}
        for name, output in passed:
            first = take_first(output)
            if name and first is not None:
                found.setdefault(name, tuple(first.shape))
        shapes.append(found)
    axes = {}
    for name, shape in shapes[0].items():
        pairs = list(zip(shape, shapes[1].get(name, ()), strict=False))
        differ = [axis for axis, (one, other) in enumerate(pairs) if one != other]
        if len(differ) == 1 and pairs[differ[0]] == TRIALS:
            axes[name] = differ[0]
    return axes


def widen(output: Tensor) -> Tensor:
    """What a layer that computes in bfloat16 returns as float32; anything else as it is."""
    return output.float() if output.dtype == torch.bfloat16 else output


@contextmanager
def capture_outputs(
    policy: nn.Module, axes: Mapping[str, int], names: Sequence[str]
) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of modules of the first call of each in the ``with`` block.

    The policy goes on with a copy, so that what it changes in place afterwards, as
    ``nn.ReLU(inplace=True)`` does, stays as the module returned it.

    :param policy: policy whose modules are captured
    :param axes: what :func:`find_batch_axes` found
    :param names: names of the modules
    :return: (B, ...) outputs by name, filled by the passes of the block
    """
    captured: dict[str, Tensor] = {}

    def note(name: str) -> Callable[..., Any]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> Any:
            first = take_first(output)
            if name in captured or first is None:
                return None
            captured[name] = widen(drop_time(module, first.movedim(axes[name], 0)))
            copied = first.clone()
            return copied if output is first else (copied, *output[1:])

        return keep

    hooks = [policy.get_submodule(name).register_forward_hook(note(name)) for name in names]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


def list_innermost(names: Sequence[str]) -> list[str]:
    """List the layers that hold no other one: of a Sequential, its parts.

    :param names: names of layers
    """
    return [name for name in names if not any(one.startswith(f"{name}.") for one in names)]
