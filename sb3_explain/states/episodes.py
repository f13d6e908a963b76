"""Read the episodes of a store: sizes and columns of all are checked before any block is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import (
    array,
    exactly,
    flag,
    number,
    one_of,
    optional,
    read_document,
    record,
    require_form,
    row,
    table,
    text,
    whole,
)
from sb3_explain.common.untrusted import LIMIT_NAME, max_bytes, quote
from sb3_explain.states.zarr_files import REMEDY, StoredArray, open_array, read_attributes

Array = NDArray[Any]
#: type and shape of a state's row, by the name of the column
Kinds = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]

#: name of the array that holds all small columns
COLUMNS = "columns"
#: name of the array of rendered frames
PICTURES = "rgb"
#: names of columns that version 0.1 wrote in place of today's
OLD_NAMES = {"memory": "lstm_states"}
#: how the episode of a state ends, by the number in the column ``ended``: because whoever stored it
#: stopped there, by itself, or by a limit of time
ENDINGS = ("cut", "terminated", "truncated")
#: all states together may take so many times the limit of one file
WHOLE = 4
#: bytes of memory that the index of a state's stack takes for each frame while it is made
INDEX_BYTES = 24
#: the most states of an episode, and the most frames of an observation
MAX_STATES = 10**9
MAX_STACK = 256

_ATTRIBUTES = record(
    {"length": whole(1, MAX_STATES), "cut": flag}, {"over": flag, "truncated": flag}
)
_NAMES = array(text(1000), longest=100_000)
_SETTINGS = {
    "agent": optional(
        record(
            {},
            {
                "weights_sha256": text(100),
                "actions": _NAMES,
                "features": table(_NAMES),
            },
        )
    ),
    "n_stack": whole(1, MAX_STACK),
    "rendered": flag,
}
_DESCRIPTION = record(
    _SETTINGS,
    {
        "seed": whole(),
        "behavior": text(100),
        "behaviour": text(100),
        "epsilon": number(0, 1),
        "max_per_episode": whole(),
        "n_envs": whole(1, 2**20),
        "format": exactly(1),
        "stored_stacks": whole(1, MAX_STACK),
    },
)
#: NumPy's names of the types that a column may have
KINDS = (
    "|b1", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8",
)  # fmt: skip
_FIELD = row(text(1000), one_of(*KINDS), array(whole(1, 2**31), longest=16))
_FIELDS = record({"fields": array(_FIELD, shortest=1, longest=1000)})


class Attributes(NamedTuple):
    """What a store says of an episode.

    :param length: number of states
    :param cut: whether the store was full before the episode was over
    :param over: whether it is over after these states; older stores do not say it
    :param truncated: whether it is over because a limit of time was reached
    """

    length: int
    cut: bool
    over: bool
    truncated: bool

    @property
    def ending(self) -> int:
        """How it ends, as a number that :data:`ENDINGS` names."""
        return int(self.over) + int(self.truncated)


def episode_folder(folder: Path, number: int) -> Path:
    """The folder of one episode in a store."""
    return folder / f"episode_{number:06d}"


def episode_folders(folder: Path) -> list[Path]:
    """Folders of a store's complete episodes, from number 0 up to the first that is missing."""
    found: list[Path] = []
    while episode_folder(folder, len(found)).is_dir():
        found.append(episode_folder(folder, len(found)))
    return found


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``states.json``, the settings of a store.

    :param folder: folder of the store
    :raises ExplainError: if the file is missing or damaged
    """
    path = folder / "states.json"
    if not path.exists():
        raise ExplainError(f"{folder} holds no states: collect some first")
    described: dict[str, Any] = read_document(path, _DESCRIPTION, REMEDY)
    if "behaviour" in described:  # as stores of version 0.1 call it
        described["behavior"] = described.pop("behaviour")
    return described


def read_episode_attributes(folder: Path) -> Attributes:
    """Read what the store says of an episode.

    :param folder: folder of the episode
    :raises ExplainError: if it is damaged
    """
    attributes = read_attributes(folder, _ATTRIBUTES)
    over = attributes.get("over", False)
    truncated = over and attributes.get("truncated", False)
    return Attributes(attributes["length"], attributes["cut"], over, truncated)


def describe_cut(episodes: Sequence[Attributes], limit: int) -> dict[str, int]:
    """Count the episodes, and those of which only the first ``limit`` states were stored.

    :param episodes: what the store says of each episode
    :param limit: states that are stored of each episode; 0 for whole episodes
    """
    n_cut = sum(one.length == limit and not one.over for one in episodes)
    return {"episodes": len(episodes), "episodes_cut": n_cut}


def read_episodes(
    folders: Sequence[Path], n_stack: int = 1, *, rendered: bool = False
) -> tuple[dict[str, Array], list[Attributes]]:
    """Read all arrays of episodes except their rendered frames.

    :param folders: folders of the episodes, at least one
    :param n_stack: number of frames in an observation
    :param rendered: whether the episodes need rendered frames
    :return: arrays by name, one episode after the other, and what the store says of each episode
    :raises ExplainError: if an array is damaged or missing, or all are too large for the memory
    """
    episodes, stored = [], []
    for folder in folders:
        episodes.append(read_episode_attributes(folder))
        stored.append(open_arrays(folder, episodes[-1].length))
    lengths = [episode.length for episode in episodes]
    kinds = list_kinds(stored[0])
    require_columns(kinds, folders[0], n_stack)
    for folder, arrays in zip(folders, stored, strict=True):
        if list_kinds(arrays) != kinds:
            raise ExplainError(f"{folder} has other arrays than {folders[0].name}: {REMEDY}")
    if rendered:  # now, rather than after hours, when they are drawn
        require_equal_pictures(folders, lengths)
    total = sum(lengths)
    of_state = sum(kind.itemsize * math.prod(shape) for kind, shape in kinds.values())
    require_room(total * (of_state + INDEX_BYTES * n_stack), f"the states in {folders[0].parent}")
    columns = {name: np.empty((total, *shape), kind) for name, (kind, shape) in kinds.items()}
    stop = 0
    for length, arrays in zip(lengths, stored, strict=True):
        start, stop = stop, stop + length
        for name, observed in arrays.items():
            rows = observed.read(0, length)
            small = unpack(rows, observed.attributes["fields"]) if name == COLUMNS else {name: rows}
            for column, values in small.items():
                columns[column][start:stop] = values
    columns["ended"] = np.repeat([one.ending for one in episodes], lengths).astype(np.uint8)
    return rename_old(columns), episodes


def rename_old(arrays: dict[str, Array]) -> dict[str, Array]:
    """Return arrays by today's names."""
    return {OLD_NAMES.get(name, name): array for name, array in arrays.items()}


def split_frames(arrays: dict[str, Array]) -> tuple[dict[str, Tensor], dict[str, Array]]:
    """Split arrays into frames by key of the observation, and columns by name."""
    frames = {
        name.removeprefix("frames").removeprefix("."): torch.from_numpy(arrays[name])
        for name in sorted(arrays)
        if name.split(".")[0] == "frames"
    }
    columns = {name: one for name, one in arrays.items() if name.split(".")[0] != "frames"}
    return frames, columns


def require_room(size: int, what: str) -> None:
    """Check that states fit into memory, before it is taken, or before they are played.

    :param size: number of bytes of all states
    :param what: what has this size, for the error message
    :raises ExplainError: if it is more than :data:`WHOLE` times the limit of one file
    """
    if size > WHOLE * max_bytes():
        raise ExplainError(
            f"{what} would take {size:,} bytes of memory, above the limit of "
            f"{WHOLE * max_bytes():,}: if that is right, set {LIMIT_NAME}={-(-size // WHOLE)}"
        )


def require_columns(kinds: Kinds, folder: Path, n_stack: int) -> None:
    """Check that an episode has frames, and what every state needs besides them.

    :param kinds: types and shapes by name
    :param folder: folder of the episode, for the error message
    :param n_stack: number of frames in an observation
    :raises ExplainError: if something is missing, or of another type or shape
    """
    frames = [kind for name, kind in kinds.items() if name.split(".")[0] == "frames"]
    stackable = n_stack == 1 or all(shape for _, shape in frames)
    starts = kinds.get("starts") == (np.dtype(bool), ())
    if not (frames and stackable and starts and "greedy" in kinds):
        raise ExplainError(f"{folder} is damaged (it lacks columns of its states): {REMEDY}")


def open_arrays(folder: Path, length: int) -> dict[str, StoredArray]:
    """Open all arrays of an episode except its rendered frames.

    :param folder: folder of the episode
    :param length: number of its states
    :return: arrays by name
    :raises ExplainError: if one is damaged, or has another length
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    arrays = {name: open_array(folder / name) for name in names if name != PICTURES}
    for name, stored in arrays.items():
        if stored.shape[0] != length:
            raise ExplainError(f"{folder} is damaged ({quote(name)} has another length): {REMEDY}")
    if not arrays:
        raise ExplainError(f"{folder} is damaged (it has no arrays): {REMEDY}")
    return arrays


def open_pictures(folder: Path, length: int) -> StoredArray:
    """Open the rendered frames of an episode, (length, h, w, 3) uint8.

    :param folder: folder of the episode
    :param length: number of its states
    :raises ExplainError: if there are none, or they are damaged
    """
    stored = open_array(folder / PICTURES)
    # more states, where the episode has gone on since it was read
    if (
        stored.shape[0] < length
        or stored.dtype != np.uint8
        or len(stored.shape) != 4
        or stored.shape[3] != 3
    ):
        raise ExplainError(f"{stored.folder} holds no pictures of {length} states: {REMEDY}")
    return stored


def read_pictures(folder: Path, episodes: Array, indices: Array) -> Array:
    """Read rendered frames (n, h, w, 3) of a store.

    :param folder: folder of the store
    :param episodes: (N,) number of each state's episode
    :param indices: (n,) indices of the states
    """
    first = np.r_[0, np.flatnonzero(np.diff(episodes)) + 1]
    pictures: list[Array] = [np.empty(0)] * len(indices)
    for episode in np.unique(episodes[indices]):
        n_states = int(np.count_nonzero(episodes == episode))
        stored = open_pictures(episode_folder(folder, int(episode)), n_states)
        require_room(len(indices) * stored.row_bytes, "the rendered frames")
        here = np.flatnonzero(episodes[indices] == episode)
        for place, picture in zip(here, stored.take(indices[here] - first[episode]), strict=True):
            pictures[place] = picture
    stacked: Array = np.stack(pictures)
    return stacked


def require_equal_pictures(folders: Sequence[Path], lengths: Sequence[int]) -> None:
    """Check that all episodes have rendered frames of one size.

    :param folders: folders of the episodes
    :param lengths: numbers of their states
    :raises ExplainError: if an episode has none, or of another size than the first
    """
    sizes = set()
    for folder, length in zip(folders, lengths, strict=True):
        sizes.add(open_pictures(folder, length).shape[1:])
        if len(sizes) > 1:
            raise ExplainError(f"{folder} has pictures of another size than the first: {REMEDY}")


def list_kinds(arrays: dict[str, StoredArray]) -> Kinds:
    """List type and shape of a state's row in each array and small column, by name.

    :raises ExplainError: if the description of the small columns is damaged
    """
    kinds: Kinds = {}
    for name, stored in arrays.items():
        if name != COLUMNS:
            kinds[name] = stored.dtype, stored.shape[1:]
            continue
        fields = read_fields(stored)
        kinds |= {field: (np.dtype(kind), tuple(shape)) for field, kind, shape in fields}
    return kinds


def read_fields(stored: StoredArray) -> list[list[Any]]:
    """Read the names, types and shapes of the small columns.

    :raises ExplainError: if they are damaged, or do not fill the rows of the array
    """
    require_form(stored.attributes, _FIELDS, str(stored.folder), REMEDY)
    fields: list[list[Any]] = stored.attributes["fields"]
    size = sum(np.dtype(kind).itemsize * math.prod(shape) for _, kind, shape in fields)
    names = {name for name, _, _ in fields}
    if stored.dtype != np.uint8 or stored.shape[1:] != (size,) or len(names) < len(fields):
        raise ExplainError(f"{stored.folder} is damaged (its fields do not fit): {REMEDY}")
    return fields


def unpack(rows: NDArray[np.uint8], fields: list[list[Any]]) -> dict[str, Array]:
    """Split an array of bytes into columns.

    :param rows: (N, bytes a state) the array
    :param fields: name, type and shape of every field
    """
    columns = np.ascontiguousarray(rows).view(make_row_type(fields))[:, 0]
    unpacked = {name: np.ascontiguousarray(columns[name]) for name, _, _ in fields}
    # any other byte than 0 and 1 would be neither true nor false
    return {n: v.view(np.uint8) != 0 if v.dtype == bool else v for n, v in unpacked.items()}


def make_row_type(fields: list[list[Any]]) -> np.dtype[Any]:
    """The structured NumPy type of one row of fields."""
    return np.dtype([(name, kind, tuple(shape)) for name, kind, shape in fields])
