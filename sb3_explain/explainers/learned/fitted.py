"""What has been learned about an agent, on disk: ``<name>.safetensors`` and ``<name>.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import safetensors
import safetensors.torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.checkpoints import TrainingState
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path, read_json, write_json
from sb3_explain.common.training import TrainingOptions
from sb3_explain.states.dataset import StateDataset

FORMAT = 1
#: names of settings, and of tensors' beginnings, that version 0.1 wrote in place of today's
OLD_NAMES = {"reference": "baseline"}


class Fitted(NamedTuple):
    """What :func:`read_fitted` found."""

    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    training: TrainingState
    #: fingerprints of the states that it has learned from, and the options of training
    learned_from: dict[str, Any]


def learned_from(
    train: StateDataset, validation: StateDataset, options: dict[str, Any]
) -> dict[str, Any]:
    """What has been learned from, as plain data.

    :param options: of the training, as far as they decide its result
    """
    return {
        "train": train.fingerprint(),
        "validation": validation.fingerprint(),
        "options": options,
    }


def write_fitted(folder: Path, name: str, agent: Agent, fitted: Fitted) -> None:
    """Write both files, each whole or not there."""
    with atomic_path(folder / f"{name}.safetensors") as path:
        safetensors.torch.save_file(fitted.tensors, path)
    write_json(
        folder / f"{name}.json",
        {
            "format": FORMAT,
            "settings": fitted.settings,
            "agent": agent.describe(),
            "training": dataclasses.asdict(fitted.training),
            "learned_from": fitted.learned_from,
        },
    )


def read_fitted(folder: Path, name: str, agent: Agent) -> Fitted:
    """Read what :func:`write_fitted` wrote.

    :param agent: the agent that it was fitted to
    :raises ExplainError: if files are missing or damaged, or the agent is another
    """
    if not (folder / f"{name}.json").exists():
        raise ExplainError(f"{folder} holds no {name}: fit one first")
    described = read_json(folder / f"{name}.json")
    try:
        if described["format"] != FORMAT:
            raise ExplainError(f"{folder} is of format {described['format']!r}: update sb3_explain")
        fingerprint = described["agent"]["weights_sha256"]
        observed = described["agent"]["observation_space"]
        fitted = Fitted(
            {OLD_NAMES.get(key, key): value for key, value in described["settings"].items()},
            {
                OLD_NAMES.get(key.partition(".")[0], key.partition(".")[0])
                + key[key.find(".") :]: t
                for key, t in safetensors.torch.load_file(folder / f"{name}.safetensors").items()
            },
            TrainingState(**described["training"]),
            dict(described["learned_from"]),
        )
        if not isinstance(fitted.training.seconds, (int, float)):
            raise TypeError("seconds are no number")
        if not all(isinstance(losses, dict) for losses in fitted.training.history):
            raise TypeError("the history is none")
    except (KeyError, TypeError, ValueError, OSError, safetensors.SafetensorError) as error:
        raise damaged_error(folder, name) from error
    if fingerprint != agent.fingerprint():
        raise ExplainError(f"the {name} in {folder} was trained for another agent")
    if observed != agent.describe()["observation_space"]:
        raise ExplainError(
            f"the {name} in {folder} was trained on observations {observed}, and this agent "
            f"observes {agent.describe()['observation_space']}: choose another folder"
        )
    return fitted


def damaged_error(folder: Path, name: str) -> ExplainError:
    """What to raise if the files are there, but are not what they should be."""
    return ExplainError(f"{folder} holds no whole {name}: fit it again")


def select_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


class Learner(Protocol):
    """What learns about an agent from its states, and is kept on disk."""

    agent: Agent
    learned_from: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its files."""

    def plain_settings(self) -> dict[str, Any]:
        """What it is, apart from its weights."""

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        """How it learns."""

    def fit(self, train: StateDataset, validation: StateDataset, **options: Any) -> Any:
        """Learn from states."""

    def save(self, folder: str | Path) -> None:
        """Write what was learned."""

    @classmethod
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Read what :meth:`save` wrote."""


L = TypeVar("L", bound=Learner)


def load_or_fit(
    made: L,
    folder: str | Path | None,
    train: StateDataset,
    validation: StateDataset,
    options: Mapping[str, Any],
) -> L:
    """What was learned before in ``folder``; where nothing was, it is learned and saved there.

    :param made: what shall learn, with its settings
    :param folder: for the result, and below it ``training/`` with checkpoints; nothing is kept when
        not given
    :param train: states to learn from
    :param validation: states that decide when to stop
    :param options: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :raises ExplainError: if ``folder`` holds one of other settings, states or training
    """
    if folder is None:
        made.fit(train, validation, **options)
        return made
    folder = Path(folder)
    if not (folder / f"{made.name}.json").exists():
        made.fit(train, validation, folder=folder / "training", **options)
        made.save(folder)
        return made
    try:
        loaded = type(made).load(folder, made.agent)
    except ExplainError as error:
        again = f"{error}; or delete {folder} and run the same command again, the states stay"
        raise ExplainError(again) from error
    wanted = learned_from(train, validation, made.training_options(options).identity())
    if loaded.plain_settings() != made.plain_settings() or loaded.learned_from != wanted:
        raise ExplainError(
            f"{folder} holds a {made.name} of other settings, training or states: choose another "
            "output folder, or delete this one"
        )
    return loaded
