"""Save and load fitted explainers: ``<name>.safetensors`` and ``<name>.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import safetensors.torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.checkpoints import TRAINING_STATE, TrainingState, restore_state
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path, write_json
from sb3_explain.common.schema import anything, read_document, record, table, text, whole
from sb3_explain.common.tensor_files import (
    TooManyParametersError,
    limit_parameters,
    read_tensors,
)
from sb3_explain.common.training import TrainingOptions
from sb3_explain.states.dataset import StateDataset

FORMAT = 1
#: names of settings, and of tensors' beginnings, that version 0.1 wrote in place of today's
OLD_NAMES = {"reference": "baseline"}
#: settings in force when a file that does not name them was written
OLD_SETTINGS: dict[str, dict[str, Any]] = {"visionmask": {"objective": "contrast", "patch_size": 1}}
#: what to do about damaged files
REMEDY = "fit it again"

_FITTED = record(
    {
        "format": whole(1, 10_000),
        "settings": table(anything, longest=100),
        "agent": record({"weights_sha256": text(100), "observation_space": text()}),
        "training": TRAINING_STATE,
        "learned_from": record(
            {"train": text(100), "validation": text(100), "options": table(anything)}
        ),
    }
)


class Fitted(NamedTuple):
    """The content of the two files."""

    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    training: TrainingState
    #: fingerprints of the states that it was fitted on, and the options of training
    learned_from: dict[str, Any]


def learned_from(
    train: StateDataset, validation: StateDataset, options: dict[str, Any]
) -> dict[str, Any]:
    """Describe what an explainer was fitted on, as plain data.

    :param train: states to learn from
    :param validation: states that decided when to stop
    :param options: options of training that influence the result
    """
    return {
        "train": train.fingerprint(),
        "validation": validation.fingerprint(),
        "options": options,
    }


def write_fitted(folder: Path, name: str, agent: Agent, fitted: Fitted) -> None:
    """Write both files atomically.

    :param folder: folder that the files are written to
    :param name: name of the files
    :param agent: agent that it was fitted to
    :param fitted: content of the files
    """
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
    """Read the files that :func:`write_fitted` has written.

    :param folder: folder of the files
    :param name: name of the files
    :param agent: agent that it was fitted to
    :raises ExplainError: if files are missing or damaged, or it was fitted to another agent
    """
    path = folder / f"{name}.json"
    if not path.exists():
        raise ExplainError(f"{folder} holds no {name}: fit one first")
    described = read_document(path, _FITTED, REMEDY)
    if described["format"] != FORMAT:
        raise ExplainError(f"{folder} is of format {described['format']!r}: update sb3_explain")
    fingerprint = described["agent"]["weights_sha256"]
    observed = described["agent"]["observation_space"]
    _, tensors = read_tensors(folder / f"{name}.safetensors", REMEDY)
    given = {OLD_NAMES.get(key, key): value for key, value in described["settings"].items()}
    fitted = Fitted(
        {**OLD_SETTINGS.get(name, {}), **given},
        {rename_tensor(key): tensor for key, tensor in tensors.items()},
        restore_state(described["training"]),
        described["learned_from"],
    )
    if fingerprint != agent.fingerprint():
        raise ExplainError(f"the {name} in {folder} was trained for another agent")
    if observed != agent.describe()["observation_space"]:
        raise ExplainError(
            f"the {name} in {folder} was trained on observations {observed}, and this agent "
            f"observes {agent.describe()['observation_space']}: choose another folder"
        )
    return fitted


def rename_tensor(name: str) -> str:
    """Return today's name of a tensor."""
    first, dot, rest = name.partition(".")
    return f"{OLD_NAMES.get(first, first)}{dot}{rest}"


@contextmanager
def building(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Turn what settings and tensors that do not fit raise into one line.

    The block makes networks of at most as many parameters as the tensors have.

    :param folder: folder of the files, for the error message
    :param name: name of the files
    :param tensors: the tensors that were read
    :raises ExplainError: if the settings are invalid, or the tensors do not fit them
    """
    try:
        with limit_parameters(sum(tensor.numel() for tensor in tensors.values())):
            yield
    except (ExplainError, TooManyParametersError) as error:
        raise ExplainError(f"{folder} holds no whole {name} ({error}): {REMEDY}") from error
    except (
        ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError,
        ValueError,
    ) as error:  # fmt: skip
        raise ExplainError(f"{folder} holds no whole {name}: {REMEDY}") from error


def select_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Select the tensors whose names begin with a prefix, which is removed."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


class Learner(Protocol):
    """What is fitted on states of an agent, and saved."""

    agent: Agent
    learned_from: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the files."""

    def plain_settings(self) -> dict[str, Any]:
        """Return the settings as plain data."""

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        """Complete the options of training by the defaults."""

    def fit(self, train: StateDataset, validation: StateDataset, **options: Any) -> Any:
        """Learn from states."""

    def save(self, folder: str | Path) -> None:
        """Save what was learned."""

    @classmethod
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Load what :meth:`save` has written."""


L = TypeVar("L", bound=Learner)


def load_or_fit(
    made: L,
    folder: str | Path | None,
    train: StateDataset,
    validation: StateDataset,
    options: Mapping[str, Any],
) -> L:
    """Load what was fitted in a folder before; if there is nothing, fit it and save it there.

    :param made: explainer or generator with its settings, which is not fitted yet
    :param folder: folder of the result, with checkpoints in ``training/``; nothing is saved when
        not given
    :param train: states to learn from
    :param validation: states whose loss decides when to stop
    :param options: fields of :class:`sb3_explain.common.training.TrainingOptions`
    :return: the fitted explainer or generator
    :raises ExplainError: if ``folder`` holds one of other settings, states or options
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
    expected = learned_from(train, validation, made.training_options(options).identity())
    if loaded.plain_settings() != made.plain_settings() or loaded.learned_from != expected:
        raise ExplainError(
            f"{folder} holds a {made.name} of other settings, training or states: choose another "
            "output folder, or delete this one"
        )
    return loaded
