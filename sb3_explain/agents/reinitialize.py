"""Draw the weights of a layer anew, as torch draws those of a new one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from sb3_explain.agents.snapshot import snapshot

#: names of the method by which torch's layers draw their weights
RESETS = ("reset_parameters", "_reset_parameters")
#: number of power iterations after which the spectral norm of a new matrix is known
POWER_ITERATIONS = 15


def can_reinitialize(module: nn.Module) -> bool:
    """Check whether a module has parameters of its own that it can draw anew."""
    return any(hasattr(module, name) for name in RESETS) and any(
        True for _ in module.parameters(recurse=False)
    )


def reinitialize(layer: nn.Module, seed: int) -> None:
    """Draw the weights of a layer, and of what is inside of it, anew.

    A weight or spectral norm around the layer stays: it is the norm of the new weights.

    :param layer: module that is changed
    :param seed: random seed of the weights
    """
    fresh = snapshot(layer).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch's own would seed all GPUs too
        for module in fresh.modules():
            _draw(module)
    layer.load_state_dict(fresh.state_dict())


def _draw(module: Any) -> None:
    """Draw the parameters of one module, without those of the modules inside of it."""
    reset = next((getattr(module, name) for name in RESETS if hasattr(module, name)), None)
    if reset is None:
        return
    names = list(module.parametrizations) if parametrize.is_parametrized(module) else []
    # cached: the module draws into the tensors that its parametrizations return
    with parametrize.cached():
        reset()
        drawn = {name: getattr(module, name).clone() for name in names}
    for name, weight in drawn.items():
        setattr(module, name, weight)
        module.train()  # when a spectral norm iterates
        for _ in range(POWER_ITERATIONS):
            getattr(module, name)
        module.eval()
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            _set_weight_norm(module, hook, getattr(module, hook.name))
        elif isinstance(hook, SpectralNorm):
            getattr(module, f"{hook.name}_orig").copy_(getattr(module, hook.name))
            for _ in range(POWER_ITERATIONS):
                hook.compute_weight(module, do_power_iteration=True)


def _set_weight_norm(module: Any, hook: WeightNorm, weight: Tensor) -> None:
    """Set direction and length, whose product is a weight (Salimans and Kingma, 2016, eq. 2)."""
    getattr(module, f"{hook.name}_v").copy_(weight)
    length = torch.norm_except_dim(weight, 2, hook.dim)
    getattr(module, f"{hook.name}_g").copy_(length)
