"""Which methods of a policy are its own, and not those of the library that it derives from."""

from __future__ import annotations

from torch import nn

#: packages whose policies the views know
KNOWN_PACKAGES = ("stable_baselines3", "sb3_contrib", "sb3_explain", "torch", "builtins")
#: methods that decide what a policy answers
METHODS = (
    "predict", "_predict", "get_distribution", "_get_action_dist_from_latent", "predict_values",
    "extract_features", "forward", "get_action_dist_params", "_process_sequence",
    "obs_to_tensor", "unscale_action", "forward_actor", "forward_critic",
)  # fmt: skip
#: parts of a policy that have such methods
PARTS = ("", "actor", "critic", "q_net", "quantile_net", "mlp_extractor")


def list_own_methods(policy: nn.Module) -> list[str]:
    """List the methods that a policy and its parts define otherwise than the library.

    :param policy: policy of a class of stable-baselines3 or sb3-contrib, or derived from one
    :return: names such as ``"get_distribution"`` and ``"actor.forward"``, out of :data:`METHODS`
    """
    return [
        f"{name}.{method}" if name else method
        for name in PARTS
        for part in [policy if not name else getattr(policy, name, None)]
        if isinstance(part, nn.Module)
        for method in METHODS
        if _is_own(part, method)
    ]


def _is_own(part: nn.Module, method: str) -> bool:
    if method in vars(part):
        return True
    definer = next((known for known in type(part).__mro__ if method in vars(known)), object)
    return definer.__module__.partition(".")[0] not in KNOWN_PACKAGES
