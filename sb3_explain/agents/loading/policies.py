"""Build a policy of SB3, sb3-contrib or this package from names and weights."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.ars.policies import ARSPolicy
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import get_device
from torch import nn

from sb3_explain.agents.loading.algorithms import KNOWN_PACKAGES
from sb3_explain.agents.loading.architecture import read_sizes
from sb3_explain.agents.loading.archive import ModelArchive
from sb3_explain.agents.loading.element_limit import ElementLimit
from sb3_explain.agents.loading.older_weights import has_shared_layers, modernize_weights
from sb3_explain.agents.loading.saved_spaces import describe_space
from sb3_explain.agents.loading.weights import Weights
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import argument_names
from sb3_explain.common.untrusted import one_line, quote
from sb3_explain.sgqn.policies import PixelPolicy

#: sizes in ``features_extractor_kwargs`` of SB3's own extractors
EXTRACTOR_SIZES = ("features_dim", "cnn_output_dim")
MAX_STACK = 1000


def read_n_stack(policy_class: type[BasePolicy], archive: ModelArchive) -> int | None:
    """Number of stacked frames, if the algorithm saved it (SGQN and its kin), else ``None``."""
    n_stack = archive.data.get("n_stack")
    if not issubclass(policy_class, PixelPolicy) or type(n_stack) is not int:
        return None
    return n_stack if 0 < n_stack <= MAX_STACK else None


def build_policy(
    policy_class: type[BasePolicy],
    kwargs: Mapping[str, Any],
    weights: Weights,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    device: str | torch.device = "cpu",
    saved_sizes: Mapping[str, Any] | None = None,
) -> BasePolicy:
    """Build a policy with its weights and without an optimizer; no random state is changed.

    :param policy_class: class of the policy
    :param kwargs: arguments of the class; sizes only where the user gives them
    :param weights: state dict of the policy
    :param observation_space: what the policy observes, after transposition and stacking
    :param action_space: action space of the environment
    :param device: device to put the policy on
    :param saved_sizes: what the file says of sizes. A class of the user's own may mean something
        else by them than SB3 does; it is made so if sizes as SB3 reads them do not fit
    :raises ExplainError: if the weights do not fit the spaces, or the class rejects its arguments
    """
    target = find_device(device)
    # Spaces draw from random states of their own; the caller's are left alone.
    both = copy.deepcopy((observation_space, action_space))
    if has_shared_layers(weights):  # SB3 no longer knows the net_arch of these
        kwargs = {name: value for name, value in kwargs.items() if name != "net_arch"}
    weights = modernize_weights(weights)
    ways = [_choose_arguments(policy_class, kwargs, weights, *both)]
    if policy_class.__module__.partition(".")[0] not in KNOWN_PACKAGES:
        ways.append(_complete(policy_class, {**(saved_sizes or {}), **kwargs}))
    errors: list[ExplainError] = []
    for arguments in ways:
        try:
            policy = _make_policy(policy_class, both, arguments, set(kwargs), weights)
            _load_weights(policy, weights)
        except ExplainError as error:
            errors.append(error)
        else:
            return policy.to(target).eval()
    raise errors[0]


def _make_policy(
    policy_class: type[BasePolicy],
    both: tuple[spaces.Space[Any], spaces.Space[Any]],
    arguments: dict[str, Any],
    fixed: set[str],
    weights: Weights,
) -> BasePolicy:
    """Call a class with spaces and arguments, but for those that it gives to its base itself.

    :param fixed: arguments of the user or the file, which the class has to take
    :param weights: state dict, than which the policy may not be much larger
    """
    arguments = dict(arguments)
    # as SB3 calls it: by position, whatever the class calls these
    schedule = [] if issubclass(policy_class, ARSPolicy) else [lambda _: 0.0]
    while True:
        limit = ElementLimit(weights)
        try:
            with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), limit:
                warnings.simplefilter("ignore")
                return policy_class(*both, *schedule, **arguments)
        # The arguments come from a file or from the user, and a class may reject them in any way.
        except Exception as error:
            twice = re.search(r"multiple values for (?:keyword )?argument '(\w+)'", str(error))
            if twice and twice[1] in arguments and twice[1] not in fixed:
                del arguments[twice[1]]
                continue
            observation_space, action_space = both
            raise ExplainError(
                f"{policy_class.__name__} cannot be made for observations "
                f"{describe_space(observation_space)} and actions "
                f"{describe_space(action_space)} ({one_line(error)})"
            ) from error


def find_device(device: str | torch.device) -> torch.device:
    """The torch device that has a name.

    :param device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"auto"``, ...
    :raises ExplainError: if this machine has no such device
    """
    if device == "auto":
        return get_device("auto")
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError) as error:
        raise ExplainError(f"no device {str(device)!r} ({one_line(error)})") from error
    return target


def _choose_arguments(
    policy_class: type[BasePolicy],
    kwargs: Mapping[str, Any],
    weights: Weights,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> dict[str, Any]:
    sizes = read_sizes(policy_class, weights, observation_space, action_space)
    extractor = kwargs.get("features_extractor_class")
    own = extractor is None or getattr(extractor, "__module__", "").startswith("stable_baselines3.")
    said = dict(kwargs.get("features_extractor_kwargs") or {})
    if own:
        said = {key: value for key, value in said.items() if key not in EXTRACTOR_SIZES}
        said |= sizes.get("features_extractor_kwargs", {})
    else:
        sizes.pop("features_extractor_class", None)
    # The words of a file never speak of sizes; where the user does, the user knows better.
    arguments = {**sizes, **kwargs, "features_extractor_kwargs": said}
    if not said:
        del arguments["features_extractor_kwargs"]
    return _complete(policy_class, arguments)


def _complete(policy_class: type[BasePolicy], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that the class takes, with those that spare it what only training needs."""
    arguments = {
        **kwargs,
        "optimizer_class": lambda *_, **__: None,
        "optimizer_kwargs": {},
        "ortho_init": False,  # the weights are about to be replaced
    }
    accepted = argument_names(policy_class)
    return {name: value for name, value in arguments.items() if name in accepted}


def _load_weights(policy: nn.Module, weights: Weights) -> None:
    """Load weights strictly: every one has its place, and every place its weight."""
    expected = policy.state_dict()
    wrong = [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    wrong += [
        f"{name} holds {weights[name].dtype}, not {tensor.dtype}"
        for name, tensor in expected.items()
        if name in weights and weights[name].is_floating_point() != tensor.is_floating_point()
    ]
    wrong += [f"{name} is missing" for name in expected if name not in weights]
    wrong += [f"{quote(name)} has no place" for name in weights if name not in expected]
    if wrong:
        raise ExplainError(
            f"the weights do not fit the policy: {wrong[0]} (and {len(wrong) - 1} more like it); "
            "are the algorithm, the environment and the spaces the right ones?"
        )
    policy.load_state_dict(weights)
