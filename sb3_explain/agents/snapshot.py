"""Copies of live policies, so that an agent does not change when its model trains further."""

from __future__ import annotations

import copy
from typing import Any

import torch
from stable_baselines3.common.distributions import Distribution
from torch import Tensor, nn


def snapshot(module: nn.Module) -> Any:
    """Deep copy of a policy, without its optimizers and the tensors of its last forward pass.

    SB3's distributions hold tensors of the last pass with their graph, which cannot be copied.

    :param module: the policy to copy, which is left as it is
    :return: a module of the same class, with weights of its own
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, torch.optim.Optimizer):
                memo[id(value)] = None
            elif isinstance(value, Distribution):
                memo[id(value)] = blank = copy.copy(value)
                for name, attribute in vars(value).items():
                    if isinstance(attribute, Tensor):
                        setattr(blank, name, attribute.detach().clone())
                    elif isinstance(attribute, torch.distributions.Distribution):
                        setattr(blank, name, None)
    return copy.deepcopy(module, memo)
