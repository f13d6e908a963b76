"""Build a policy of SB3, sb3-contrib or this package from names and weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import get_device
from torch import nn

from sb3_explain.agents.agent import ZOO_NAMES
from sb3_explain.agents.loading.architecture import read_sizes
from sb3_explain.agents.loading.archive import ModelArchive
from sb3_explain.agents.loading.expressions import read_class, read_expression
from sb3_explain.agents.loading.weights import Weights
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.signatures import argument_names
from sb3_explain.common.untrusted import one_line, quote
from sb3_explain.sgqn import RAD, SGQN, SODA, SVEA, DrQ, PixelSAC
from sb3_explain.sgqn.policies import PixelPolicy

#: classes by the zoo's names; MaskablePPO and this package's own are not in the zoo
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "a2c": A2C, "ars": ARS, "crossq": CrossQ, "ddpg": DDPG, "dqn": DQN, "drq": DrQ,
    "maskable_ppo": MaskablePPO, "pixelsac": PixelSAC, "ppo": PPO, "ppo_lstm": RecurrentPPO,
    "qrdqn": QRDQN, "rad": RAD, "sac": SAC, "sgqn": SGQN, "soda": SODA, "svea": SVEA, "td3": TD3,
    "tqc": TQC, "trpo": TRPO,
}  # fmt: skip
#: the zoo's name of agents that SAC or TQC trained with hindsight experience replay
HER = "her"

#: packages whose policies may be built
KNOWN_PACKAGES = ("stable_baselines3", "sb3_contrib", "sb3_explain")
#: arguments that only training needs
UNUSED = ("optimizer_class", "optimizer_kwargs", "lr_schedule", "log_std_init", "ortho_init")
#: arguments that are read off the weights, whatever a file says
SIZES = (
    "net_arch", "n_quantiles", "n_critics", "lstm_hidden_size", "n_lstm_layers", "use_sde",
    "full_std", "share_features_extractor", "enable_critic_lstm", "shared_lstm", "batch_norm",
    "with_bias", "n_layers", "n_filters", "features_dim", "decoder_filters", "soda_dim",
    "predicts_saliency",
)  # fmt: skip
#: sizes in ``features_extractor_kwargs`` of SB3's own extractors
EXTRACTOR_SIZES = ("features_dim", "cnn_output_dim")


def find_algorithm(algo: str) -> str:
    """The zoo's name of an algorithm.

    :param algo: the zoo's name or the class's, in any case: ``"ppo"``, ``"RecurrentPPO"``
    :raises ExplainError: if there is no such algorithm; the nearest name is suggested
    """
    name = algo.strip().lower().replace("-", "_")
    name = ZOO_NAMES.get(name, name)
    if name not in ALGORITHMS and name != HER:
        raise unknown_name("algorithm", algo, [*ALGORITHMS, HER])
    return name


def find_trainer(archive: ModelArchive, args: Mapping[str, Any]) -> str:
    """The algorithm that trained an agent with hindsight experience replay.

    :param archive: content of the model's zip, whose policy class names the algorithm
    :param args: content of ``args.yml``, which is read first
    """
    named = args.get("algo")
    if isinstance(named, str) and named in ALGORITHMS:
        return named
    package = archive.policy_module.split(".")[1:2]
    return package[0] if package and package[0] in ALGORITHMS else "sac"


def find_class(algo: str, alias: object, archive: ModelArchive) -> type[BasePolicy]:
    """The class of the policy.

    :param algo: name of the algorithm in the zoo
    :param alias: ``policy`` in ``config.yml``, for example ``"MlpPolicy"``; ``None`` if not given
    :param archive: content of the model's zip, which decides without an alias
    :raises ExplainError: if the class is of no known package; the error names the class
    """
    module, name = archive.policy_module, archive.policy_name
    if module and module.partition(".")[0] not in KNOWN_PACKAGES:
        full = f"{module}.{name}" if name else f"a class in {module}"
        raise ExplainError(
            f"this model's policy is {quote(full)}, which is code that a file cannot bring: "
            "import it yourself and pass policy_class=..."
        )
    aliases: dict[str, type[BasePolicy]] = ALGORITHMS[algo].policy_aliases
    if alias is not None:
        if alias not in aliases:
            raise ExplainError(
                f"{algo} has no policy {quote(alias)} (known: {', '.join(aliases)}): "
                "if it is your own class, pass policy_class=..."
            )
        return aliases[str(alias)]
    by_class = {policy.__name__: policy for policy in aliases.values()}
    # Aliases differ in the features extractor, which the weights show, and for ARS in the rest.
    return by_class.get(name, next(iter(aliases.values())))


def read_n_stack(policy_class: type[BasePolicy], archive: ModelArchive) -> int | None:
    """Number of stacked frames, if the algorithm saved it (SGQN and its kin), else ``None``."""
    n_stack = archive.data.get("n_stack")
    if not issubclass(policy_class, PixelPolicy) or not isinstance(n_stack, int):
        return None
    return n_stack if n_stack > 0 else None


def read_policy_kwargs(archive: ModelArchive, config: Mapping[str, Any]) -> dict[str, Any]:
    """The policy's arguments in the files, except its sizes: activations, bounds, extractors.

    :param archive: content of the model's zip
    :param config: content of ``config.yml``, which overrides the zip
    :raises ExplainError: if an argument is code, or malformed
    """
    kwargs: dict[str, Any] = {}
    saved = archive.data.get("policy_kwargs")
    configured = config.get("policy_kwargs")
    if isinstance(configured, str):
        configured = read_expression(configured, "policy_kwargs in config.yml")
    for given in (saved, configured):
        if given is not None and not isinstance(given, dict):
            raise ExplainError("policy_kwargs is not a dict")
        for name, value in (given or {}).items():
            if str(name).startswith(":") or name in (*UNUSED, *SIZES):
                continue
            kwargs[str(name)] = _read_value(value, f"policy_kwargs[{quote(name)}]")
    if not isinstance(kwargs.get("features_extractor_kwargs", {}), dict | None):
        raise ExplainError("policy_kwargs['features_extractor_kwargs'] is not a dict")
    return kwargs


def _read_value(value: Any, where: str) -> Any:
    """A value from JSON or YAML, where text may be the ``repr`` of a class or a literal."""
    if isinstance(value, dict):
        if ":serialized:" in value:
            return {
                key: _read_value(item, where)
                for key, item in value.items()
                if not key.startswith(":")
            }
        return {str(key): _read_value(item, where) for key, item in value.items()}
    if isinstance(value, str) and value.startswith("<"):
        return read_class(value, where)
    if isinstance(value, str) and value[:1] in ("[", "(", "{"):
        return read_expression(value, where)
    return value


def build_policy(
    policy_class: type[BasePolicy],
    kwargs: Mapping[str, Any],
    weights: Weights,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    device: str | torch.device = "cpu",
) -> BasePolicy:
    """Build a policy with its weights and without an optimizer; no random state is changed.

    :param policy_class: class of the policy
    :param kwargs: arguments of the class, except its sizes
    :param weights: state dict of the policy
    :param observation_space: what the policy observes, after transposition and stacking
    :param action_space: action space of the environment
    :param device: device to put the policy on
    :raises ExplainError: if the weights do not fit the spaces, or the class rejects its arguments
    """
    target = find_device(device)
    # Spaces draw from random states of their own; the caller's are left alone.
    observation_space, action_space = copy.deepcopy((observation_space, action_space))
    arguments = _choose_arguments(policy_class, kwargs, weights, observation_space, action_space)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            policy = policy_class(observation_space, action_space, **arguments)
    # The arguments come from a file or from the user, and a class may reject them in any way.
    except Exception as error:
        raise ExplainError(
            f"{policy_class.__name__} cannot be made for observations "
            f"{_describe_space(observation_space)} and actions "
            f"{_describe_space(action_space)} ({one_line(error)})"
        ) from error
    _load_weights(policy, weights)
    return policy.to(target).eval()


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
    arguments |= {
        "lr_schedule": lambda _: 0.0,
        "optimizer_class": lambda *_, **__: None,
        "optimizer_kwargs": {},
        "ortho_init": False,  # the weights are about to be replaced
    }
    accepted = argument_names(policy_class)
    return {name: value for name, value in arguments.items() if name in accepted}


def _load_weights(policy: nn.Module, weights: Weights) -> None:
    """Load weights strictly, after names of older versions are replaced by today's."""
    expected = policy.state_dict()
    given = _modernize_names(weights)
    wrong = [
        f"{name} has shape {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    wrong += [
        f"{name} holds {given[name].dtype}, not {tensor.dtype}"
        for name, tensor in expected.items()
        if name in given and given[name].is_floating_point() != tensor.is_floating_point()
    ]
    wrong += [f"{name} is missing" for name in expected if name not in given]
    wrong += [f"{quote(name)} has no place" for name in given if name not in expected]
    if wrong:
        raise ExplainError(
            f"the weights do not fit the policy: {wrong[0]} (and {len(wrong) - 1} more like it); "
            "are the algorithm, the environment and the spaces the right ones?"
        )
    policy.load_state_dict(given)


def _modernize_names(weights: Weights) -> Weights:
    """A state dict with today's names; SB3 before 1.8 and the first ARS had others."""
    modern = dict(weights)
    for name, tensor in weights.items():
        if name in ("action_net.weight", "action_net.bias") and len(weights) <= 2:  # ARS, linear
            modern[name.replace("net.", "net.0.")] = modern.pop(name)
        if name.startswith("features_extractor.") and "value_net.weight" in weights:
            for owner in ("pi_", "vf_"):
                modern.setdefault(owner + name, tensor)
    return modern


def _describe_space(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Dict):
        return f"Dict{sorted(space.spaces)}"
    return f"{type(space).__name__}{space.shape or ''}"
