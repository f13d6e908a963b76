"""The Zarr store of states on disk: whole episodes, each a group, each renamed into place.

zarr-python writes the metadata and reads everything. The blocks of the large arrays are compressed
and put by us where the Zarr 3 specification has them (``c/<block>/0/...``), because every array
operation of zarr-python changes threads a few times, and each change waits for the interpreter
lock that the environments hold. For the same reason the small columns of an episode are one array
of bytes, a row of fields a state.
"""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import read_json, write_json

Array = NDArray[Any]

#: states that are compressed and written at once
BLOCK = 64
#: bytes a state from which on an array is written block by block instead of at the episode's end
LARGE = 256
#: level 1: states are mostly background, and higher levels gain little for their time
ZSTD_LEVEL = 1
#: the array of all small columns
COLUMNS = "columns"


def episode_folder(folder: Path, number: int) -> Path:
    """Where the episode of that number stands in a store."""
    return folder / f"episode_{number:06d}"


def episode_folders(folder: Path) -> list[Path]:
    """The whole episodes of a store, from number 0 to the first that is missing."""
    found: list[Path] = []
    while episode_folder(folder, len(found)).is_dir():
        found.append(episode_folder(folder, len(found)))
    return found


def begin_store(folder: Path, wanted: dict[str, Any], left_open: set[str]) -> dict[str, Any]:
    """Begin a store, or check that the one in ``folder`` is of the same run.

    :param folder: of the store
    :param wanted: settings of this run, plain data
    :param left_open: names of settings that an existing store decides
    :return: the settings that hold
    :raises ExplainError: if settings differ, or the folder holds something else
    """
    description = folder / "states.json"
    wanted = json.loads(
        json.dumps(wanted, default=str)
    )  # as it will be read: tuples are lists, keys are text
    if not description.exists() and folder.is_dir():
        strange = [
            observed.name for observed in folder.iterdir() if not observed.name.startswith(".")
        ]
        if strange:
            raise ExplainError(f"{folder} is not empty and holds no states: choose another folder")
    if not episode_folders(folder):
        write_json(description, wanted)
        return wanted
    kept: dict[str, Any] = read_json(description)
    for name in wanted.keys() - left_open:
        ours, theirs = wanted[name], kept.get(name)
        if name == "agent":
            ours, theirs = ours["weights_sha256"], (theirs or {}).get("weights_sha256")
        if ours != theirs:
            raise ExplainError(
                f"{folder} holds states of another run ({name} is {theirs!r}, not {ours!r}): "
                "choose another folder, or delete this one"
            )
    return kept


def resume_store(folder: Path, n: int) -> list[int]:
    """Lengths of the episodes that stand, once what a killed run left behind has been deleted.

    A last episode that was cut to an earlier, smaller ``n`` does not count: it is played again to
    its end, and stays where it is until that one takes its place.
    """
    import zarr

    for leftover in folder.glob(".episode_*"):
        shutil.rmtree(leftover)
    episodes = [zarr.open_group(path, mode="r").attrs for path in episode_folders(folder)]
    lengths = [int(str(episode["length"])) for episode in episodes]
    if episodes and episodes[-1]["cut"] and sum(lengths) < n:
        lengths.pop()
    return lengths


class Buffers:
    """Two sets of arrays of one block each: one is filled while the other is written.

    A env uses the same two for all its episodes, since fresh memory costs more than the copying.
    """

    def __init__(self) -> None:
        self.filling: dict[str, Array] = {}
        self._written: dict[str, Array] = {}
        self._writing: Future[None] | None = None

    def put(self, name: str, row: int, observed: Array) -> None:
        """Copy the key of one state to its row."""
        if name not in self.filling:
            self.filling[name] = np.empty((BLOCK, *observed.shape), observed.dtype)
        self.filling[name][row] = observed

    def swap(self, writing: Future[None]) -> None:
        """Fill the other set from now on, once it is written; this set is being written now."""
        if self._writing is not None:
            self._writing.result()
        self._writing = writing
        self.filling, self._written = self._written, self.filling


class EpisodeWriter:
    """One episode on its way to disk: blocks go to a hidden folder, which is then renamed.

    :param folder: of the store
    :param number: of the episode
    :param executor: one thread that compresses and writes while the agent plays on
    :param buffers: of the env
    """

    def __init__(
        self, folder: Path, number: int, executor: ThreadPoolExecutor, buffers: Buffers
    ) -> None:
        self.place = episode_folder(folder, number)
        self.length = 0
        self._handed_over = 0
        self._hidden = folder / f".{self.place.name}"
        self._executor = executor
        self._buffers = buffers
        self._small: dict[str, list[Array]] = {}
        #: shape and type of one state's key
        self._large: dict[str, Array] = {}

    def add(self, record: dict[str, Any]) -> None:
        """Take the arrays and numbers of one state."""
        row = self.length % BLOCK
        for name, value in record.items():
            observed = np.asarray(value)
            if observed.nbytes < LARGE:
                self._small.setdefault(name, []).append(observed)
            else:
                self._large.setdefault(name, np.empty_like(observed))
                self._buffers.put(name, row, observed)
        self.length += 1
        if row == BLOCK - 1:
            self.hand_over()

    def add_outcome(self, name: str, value: np.generic) -> None:
        """Take a number that is known only once the state has been left."""
        self._small.setdefault(name, []).append(np.asarray(value))

    def commit(self, *, cut: bool, length: int) -> Future[None]:
        """Keep the first ``length`` states and, once all is written, put the episode in its place.

        :param cut: the episode would have gone on
        :return: what to wait for
        """
        self.hand_over()
        return self._executor.submit(self._finish, cut, length)

    def _finish(self, cut: bool, length: int) -> None:
        import zarr
        from zarr.codecs import ZstdCodec

        attributes: dict[str, Any] = {"length": length, "cut": cut}
        group = zarr.open_group(self._hidden, mode="a", attributes=attributes)
        for name, observed in self._large.items():
            group.create_array(
                name,
                shape=(length, *observed.shape),
                chunks=(BLOCK, *observed.shape),
                dtype=observed.dtype,
                compressors=ZstdCodec(level=ZSTD_LEVEL),
            )
            for number in range(math.ceil(length / BLOCK), math.ceil(self.length / BLOCK)):
                shutil.rmtree(self._hidden / name / "c" / str(number))
        rows, fields = pack({name: np.stack(all_[:length]) for name, all_ in self._small.items()})
        group.create_array(COLUMNS, data=rows, chunks=rows.shape, attributes={"fields": fields})
        shorter = self._hidden.with_name(f"{self._hidden.name}.cut")
        if self.place.exists():  # an episode cut short, of an earlier run
            self.place.rename(shorter)
        self._hidden.rename(self.place)
        shutil.rmtree(shorter, ignore_errors=True)

    def discard(self) -> Future[None]:
        """Delete what has been written.

        :return: what to wait for
        """
        return self._executor.submit(shutil.rmtree, self._hidden, ignore_errors=True)

    def hand_over(self) -> None:
        """Let the writing thread have the states that it does not have yet.

        To be called at the end of an episode: the env's next one fills the same buffers, even
        where this one has to wait for an earlier one to be committed.
        """
        n_rows = self.length - self._handed_over
        if n_rows and self._large:
            blocks = {name: self._buffers.filling[name] for name in self._large}
            number = self._handed_over // BLOCK
            self._buffers.swap(self._executor.submit(self._write, blocks, number, n_rows))
            self._handed_over = self.length

    def _block(self, name: str, number: int) -> Path:
        rest = ["0"] * self._large[name].ndim
        return self._hidden.joinpath(name, "c", str(number), *rest)

    def _write(self, blocks: dict[str, Array], number: int, n_rows: int) -> None:
        from numcodecs import Zstd

        zstd = Zstd(level=ZSTD_LEVEL)
        for name, block in blocks.items():
            block[n_rows:] = 0  # a block in a file is always whole
            path = self._block(name, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(zstd.encode(block))


def pack(columns: dict[str, Array]) -> tuple[NDArray[np.uint8], list[list[Any]]]:
    """One array of bytes for several columns.

    :param columns: arrays of one length N
    :return: (N, bytes a state), and name, type and shape of every field
    """
    fields = [[name, column.dtype.str, list(column.shape[1:])] for name, column in columns.items()]
    rows = np.empty(len(next(iter(columns.values()))), row_type(fields))
    for name, column in columns.items():
        rows[name] = column
    return rows.view(np.uint8).reshape(len(rows), -1), fields


def unpack(rows: NDArray[np.uint8], fields: list[list[Any]]) -> dict[str, Array]:
    """The columns that :func:`pack` has put together."""
    table = np.ascontiguousarray(rows).view(row_type(fields))[:, 0]
    return {name: np.ascontiguousarray(table[name]) for name, _, _ in fields}


def row_type(fields: list[list[Any]]) -> np.dtype[Any]:
    """The type of one row of fields."""
    return np.dtype([(name, kind, tuple(shape)) for name, kind, shape in fields])
