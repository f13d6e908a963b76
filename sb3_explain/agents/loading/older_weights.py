"""State dicts of older versions of Stable-Baselines3 and sb3-contrib, under today's names."""

from __future__ import annotations

import re

from sb3_explain.agents.loading.weights import Weights

_MLP = re.compile(r"mlp_extractor\.(shared|policy|value)_net\.(\d{1,4})\.(\w+)")


def modernize_weights(weights: Weights) -> Weights:
    """A state dict with today's names, of the same function.

    SB3 before 1.8 had one features extractor under one name, and layers that actor and critic
    shared in front of their own; the first ARS had other names too.

    :param weights: state dict of a policy of any version
    """
    modern = dict(weights)
    for name, tensor in weights.items():
        if name in ("action_net.weight", "action_net.bias") and len(weights) <= 2:  # ARS, linear
            modern[name.replace("net.", "net.0.")] = modern.pop(name)
        if name.startswith("features_extractor.") and "value_net.weight" in weights:
            for owner in ("pi_", "vf_"):
                modern.setdefault(owner + name, tensor)
    return _unshare_layers(modern) if has_shared_layers(weights) else modern


def has_shared_layers(weights: Weights) -> bool:
    """Whether actor and critic share layers in front of their own (``net_arch=[16, 16]``)."""
    return any((match := _MLP.fullmatch(name)) and match[1] == "shared" for name in weights)


def _unshare_layers(weights: Weights) -> Weights:
    """Shared layers in front of both heads' own: today's networks have no place for them."""
    layers = {name: match for name in weights if (match := _MLP.fullmatch(name))}
    # A linear layer and its activation take two places.
    moved = 2 + max(int(match[2]) for match in layers.values() if match[1] == "shared")
    unshared = {name: tensor for name, tensor in weights.items() if name not in layers}
    for name, match in layers.items():
        shared = match[1] == "shared"
        place = int(match[2]) if shared else int(match[2]) + moved
        for head in ("policy", "value") if shared else (match[1],):
            unshared[f"mlp_extractor.{head}_net.{place}.{match[3]}"] = weights[name]
    return unshared
