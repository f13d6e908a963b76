"""rl-zoo3 trains, plays and tunes SGQN and its baselines once this module is imported.

``sb3-explain train`` and ``sb3-explain enjoy`` are the zoo's own commands after that import.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sb3_explain.agents.loading.policies import ALGORITHMS
from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn import PixelSAC

try:
    import rl_zoo3
    import rl_zoo3.hyperparams_opt
except ImportError as missing:
    raise ExplainError(
        f"rl-zoo3 is not installed ({missing}): pip install 'sb3-explain[zoo]'"
    ) from missing

#: algorithms of this package by the names that the zoo knows them by
OURS = {name: entry for name, entry in ALGORITHMS.items() if issubclass(entry, PixelSAC)}
COMMANDS = ("train", "enjoy")
#: what the zoo imports without depending on it
USED_BY_ZOO = ("moviepy", "optunahub", "requests", "seaborn")


def find_hyperparameters(algo: str) -> Path:
    """The file of settings of one of :data:`OURS`, as the zoo's ``-conf`` takes it."""
    return Path(str(resources.files("sb3_explain.sgqn") / "hyperparams" / f"{algo}.yml"))


def sample(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> Any:
    """Settings of a trial of optuna, for SAC from pixels.

    :param trial: of optuna
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
    """Settings of a trial of optuna, for SGQN."""
    return sample(trial, n_actions, n_envs, additional_args) | {
        "saliency_quantile": trial.suggest_float("saliency_quantile", 0.94, 0.99),
        "consistency_coef": trial.suggest_float("consistency_coef", 0.1, 1.0, log=True),
        "aux_lr": trial.suggest_float("aux_lr", 1e-4, 1e-3, log=True),
    }


def convert(sampled: dict[str, Any]) -> dict[str, Any]:
    """What was sampled, as arguments of the algorithm."""
    settings = dict(sampled)
    settings["gamma"] = 1 - settings.pop("one_minus_gamma")
    settings["batch_size"] = 2 ** settings.pop("batch_size_pow")
    return settings


def register() -> None:
    """Enter all algorithms in the zoo's tables."""
    samplers: dict[str, Any] = rl_zoo3.hyperparams_opt.HYPERPARAMS_SAMPLER
    converters: dict[str, Any] = rl_zoo3.hyperparams_opt.HYPERPARAMS_CONVERTER
    for name, algorithm in OURS.items():
        rl_zoo3.ALGOS[name] = algorithm
        samplers[name] = sample_sgqn if name == "sgqn" else sample
        converters[name] = convert


register()


def find_algo(arguments: Sequence[str]) -> str:
    """The algorithm that a command line of the zoo names; empty if it names none."""
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in ("--a", "--al", "--alg", "--algo"):  # as argparse abbreviates it
            return value if equals else "".join(arguments[place + 1 : place + 2])
    return ""


def run(command: str, arguments: Sequence[str]) -> None:
    """One of the zoo's commands.

    :param command: of :data:`COMMANDS`
    :param arguments: of the command line, in the zoo's words; for training one of :data:`OURS` the
        settings of this package stand in where no ``-conf`` is given
    :raises ExplainError: in place of what the zoo itself raises after a mistake
    """
    arguments = list(arguments)
    if command == "train" and (algo := find_algo(arguments)) in OURS:
        # in front, so that what the user gives comes later and counts
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
