"""Import this module to let rl-zoo3 train, play and tune SGQN and its baselines.

``sb3-explain train`` and ``sb3-explain enjoy`` import it, and then run rl-zoo3's own commands.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sb3_explain.agents.loading.algorithms import ALGORITHMS
from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn import PixelSAC

try:
    import rl_zoo3
    import rl_zoo3.hyperparams_opt
except ImportError as missing:
    raise ExplainError(
        f"rl-zoo3 is not installed ({missing}): pip install 'sb3-explain[zoo]'"
    ) from missing

#: algorithms of this package, by their names in rl-zoo3
OURS = {name: algo for name, algo in ALGORITHMS.items() if issubclass(algo, PixelSAC)}
COMMANDS = ("train", "enjoy")
#: packages that rl-zoo3 imports without depending on them
USED_BY_ZOO = ("moviepy", "optunahub", "requests", "seaborn")


def find_hyperparameters(algo: str) -> Path:
    """Path of the hyperparameters of one of :data:`OURS`, for rl-zoo3's ``-conf``."""
    return Path(str(resources.files("sb3_explain.sgqn") / "hyperparams" / f"{algo}.yml"))


def sample(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> Any:
    """Sample hyperparameters of SAC from pixels for an Optuna trial.

    :param trial: trial that suggests the values
    :param n_actions: unused, given by rl-zoo3
    :param n_envs: unused, given by rl-zoo3
    :param additional_args: unused, given by rl-zoo3
    :return: arguments of the algorithm
    """
    del n_actions, n_envs, additional_args
    return convert(
        {
            "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.003, 0.05, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
            "batch_size_pow": trial.suggest_int("batch_size_pow", 5, 8),
            "tau": trial.suggest_float("tau", 0.003, 0.03, log=True),
            "encoder_tau": trial.suggest_float("encoder_tau", 0.01, 0.1, log=True),
        }
    )


def sample_sgqn(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> Any:
    """Sample hyperparameters of SGQN for an Optuna trial, see :func:`sample`."""
    return sample(trial, n_actions, n_envs, additional_args) | {
        "saliency_quantile": trial.suggest_float("saliency_quantile", 0.94, 0.99),
        "consistency_coef": trial.suggest_float("consistency_coef", 0.1, 1.0, log=True),
        "aux_lr": trial.suggest_float("aux_lr", 1e-4, 1e-3, log=True),
    }


def convert(sampled: dict[str, Any]) -> dict[str, Any]:
    """Turn sampled values, such as the logarithm of the batch size, into arguments."""
    settings = dict(sampled)
    settings["gamma"] = 1 - settings.pop("one_minus_gamma")
    settings["batch_size"] = 2 ** settings.pop("batch_size_pow")
    return settings


def register() -> None:
    """Add all algorithms of :data:`OURS` to rl-zoo3's tables."""
    samplers: dict[str, Any] = rl_zoo3.hyperparams_opt.HYPERPARAMS_SAMPLER
    converters: dict[str, Any] = rl_zoo3.hyperparams_opt.HYPERPARAMS_CONVERTER
    for name, algorithm in OURS.items():
        rl_zoo3.ALGOS[name] = algorithm
        samplers[name] = sample_sgqn if name == "sgqn" else sample
        converters[name] = convert


register()


def find_algo(arguments: Sequence[str]) -> str:
    """The algorithm in the arguments of an rl-zoo3 command; empty if there is none."""
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in ("--a", "--al", "--alg", "--algo"):  # as argparse abbreviates it
            return value if equals else "".join(arguments[place + 1 : place + 2])
    return ""


def run(command: str, arguments: Sequence[str]) -> None:
    """Run one of rl-zoo3's commands.

    :param command: one of :data:`COMMANDS`
    :param arguments: arguments of rl-zoo3's command line; for training one of :data:`OURS`, this
        package's hyperparameters are used unless ``-conf`` is given
    :raises ExplainError: in place of rl-zoo3's own errors after a mistake
    """
    arguments = list(arguments)
    if command == "train" and (algo := find_algo(arguments)) in OURS:
        # first, so that the user's own -conf comes later and overrides it
        arguments = ["-conf", str(find_hyperparameters(algo)), *arguments]
    sys.argv = [f"sb3-explain {command}", *arguments]
    try:
        # a wrong word in the zoo's own files is found by importing them
        getattr(importlib.import_module(f"rl_zoo3.{command}"), command)()
    except ImportError as error:
        advice = f": pip install {error.name}" if error.name in USED_BY_ZOO else ""
        raise ExplainError(f"{error}{advice}") from error
    except (AssertionError, ValueError, KeyError, OSError) as error:
        where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not {"rl_zoo3", "huggingface_sb3", "huggingface_hub"} & set(where.parts):
            raise
        raise ExplainError(" ".join(str(error).split())) from error
