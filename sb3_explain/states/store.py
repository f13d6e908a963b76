"""The Zarr store of states on disk: one group for each episode, renamed into place when complete.

zarr-python writes the metadata. This module itself compresses the blocks of the large arrays and
writes them where the Zarr 3 specification expects them (``c/<block>/0/...``),
because every array operation of zarr-python changes threads a few times, and each change waits for
the interpreter lock that the environments hold. For the same reason the small columns of an
episode are stored in one array of bytes, with one row of fields for each state.
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

from sb3_explain.common.errors import ExplainError, make_printable
from sb3_explain.common.files import write_json
from sb3_explain.states.episodes import (
    COLUMNS,
    PICTURES,
    episode_folder,
    episode_folders,
    make_row_type,
    read_description,
    read_episode_attributes,
)
from sb3_explain.states.outcome import StepOutcome

Array = NDArray[Any]

#: states that are compressed and written at once
BLOCK = 64
#: arrays of at least so many bytes a state are written in blocks; others when the episode ends
LARGE = 256
#: level 1: states are mostly background, and higher levels gain little for their time
ZSTD_LEVEL = 1


def begin_store(folder: Path, settings: dict[str, Any], left_open: set[str]) -> dict[str, Any]:
    """Create a store, or check that the store in ``folder`` belongs to a run of the same settings.

    :param folder: folder of the store
    :param settings: settings of this run as plain data
    :param left_open: names of the settings that are taken from a store that exists
    :return: the settings of the store
    :raises ExplainError: if settings differ, or the folder holds something else
    """
    description = folder / "states.json"
    # as they will be read: tuples are lists, keys are text
    settings = json.loads(json.dumps(settings, default=str))
    if not description.exists() and any(folder.glob("[!.]*")):
        raise ExplainError(f"{folder} is not empty and holds no states: choose another folder")
    if not episode_folders(folder):
        write_json(description, settings)
        return settings
    stored = read_description(folder)
    for name in settings.keys() - left_open:
        ours, theirs = settings[name], stored.get(name)
        if name == "agent":
            require_same_agent(folder, ours, theirs or {})
        elif ours != theirs:
            raise ExplainError(
                f"{folder} holds states of another run ({name} is {theirs!r}, not {ours!r}): "
                "choose another folder, or delete this one"
            )
    return stored


def require_same_agent(folder: Path, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Check that the states in a folder are of an agent, by the weights.

    :param folder: folder of the store
    :param ours: the agent as plain data
    :param theirs: the agent that played the states
    :raises ExplainError: if they are not; it names both agents, or their weights if the names are
        the same
    """
    hashes = [str(agent.get("weights_sha256", ""))[:8] for agent in (ours, theirs)]
    if ours["weights_sha256"] == theirs.get("weights_sha256"):
        return
    names = [_name_agent(agent) for agent in (ours, theirs)]
    if names[0] == names[1]:
        names = [f"{name} of weights {own}" for name, own in zip(names, hashes, strict=True)]
    raise ExplainError(
        f"{folder} holds states of another agent, {names[1]}, not {names[0]}: choose another "
        "folder, or delete this one"
    )


def _name_agent(described: dict[str, Any]) -> str:
    """Name an agent that is described, which a file may do in any way: ``ppo CartPole-v1``."""
    env = described.get("environment")
    env = env.get("env_id") if isinstance(env, dict) else env
    return make_printable(f"{described.get('algo') or 'an agent'} {env or ''}", 60)


def resume_store(folder: Path, n: int) -> list[int]:
    """Delete what a killed run left behind, and return the lengths of the complete episodes.

    A last episode that was cut because an earlier ``n`` was smaller does not count: it is played
    again to its end, and stays on disk until the longer one replaces it.

    :param folder: folder of the store
    :param n: number of states that the store shall hold
    """
    clear_unfinished(folder)
    episodes = [read_episode_attributes(path) for path in episode_folders(folder)]
    lengths = [episode.length for episode in episodes]
    if episodes and episodes[-1].cut and sum(lengths) < n:
        lengths.pop()
    return lengths


def clear_unfinished(folder: Path) -> None:
    """Delete the episodes that were not finished.

    :param folder: folder of the store
    """
    for leftover in folder.glob(".episode_*"):
        if leftover.is_symlink() or not leftover.is_dir():  # what a link leads to stays
            leftover.unlink()
        else:
            shutil.rmtree(leftover)


def withdraw_store(folder: Path) -> None:
    """Delete a store that was begun, if it holds no episode.

    :param folder: folder of the store
    """
    if not episode_folders(folder):
        clear_unfinished(folder)
        (folder / "states.json").unlink(missing_ok=True)


class Buffers:
    """Two sets of arrays, each of one block of states: one is filled while the other is written.

    An environment uses the same two for all its episodes, since allocating memory costs more than
    copying into it.
    """

    def __init__(self) -> None:
        self.filling: dict[str, Array] = {}
        self._written: dict[str, Array] = {}
        self._writing: Future[None] | None = None

    def put(self, name: str, row: int, observed: Array) -> None:
        """Copy one array of a state to its row of the block.

        :param name: name of the array
        :param row: row in the block, below :data:`BLOCK`
        :param observed: array of any shape, the same for each state
        """
        if name not in self.filling:
            self.filling[name] = np.empty((BLOCK, *observed.shape), observed.dtype)
        self.filling[name][row] = observed

    def swap(self, writing: Future[None]) -> None:
        """Wait until the other set is written, and fill that one from now on.

        :param writing: the task that writes the set that was filled until now
        """
        if self._writing is not None:
            self._writing.result()
        self._writing = writing
        self.filling, self._written = self._written, self.filling


class EpisodeWriter:
    """Writes one episode: blocks go to a hidden folder, which is renamed when it is complete.

    :param folder: folder of the store
    :param number: number of the episode
    :param executor: one thread that compresses and writes while the agent plays on
    :param buffers: buffers of the environment that the episode is played in
    """

    def __init__(
        self, folder: Path, number: int, executor: ThreadPoolExecutor, buffers: Buffers
    ) -> None:
        self.place = episode_folder(folder, number)
        self.length = 0
        #: what the last step gave
        self.outcome = StepOutcome(0.0)
        self._handed_over = 0
        self._hidden = folder / f".{self.place.name}"
        self._executor = executor
        self._buffers = buffers
        self._small: dict[str, list[Array]] = {}
        #: an array of the shape and type of one state, for each large array
        self._large: dict[str, Array] = {}

    def add(self, record: dict[str, Any]) -> None:
        """Add the arrays and numbers of one state, by name."""
        row = self.length % BLOCK
        for name, value in record.items():
            observed = np.asarray(value)
            # pictures have an array of their own, however small: they are not read with the rest
            if observed.nbytes < LARGE and name != PICTURES:
                self._small.setdefault(name, []).append(observed)
            else:
                self._large.setdefault(name, np.empty_like(observed))
                self._buffers.put(name, row, observed)
        self.length += 1
        if row == BLOCK - 1:
            self.hand_over()

    def add_outcome(self, name: str, value: np.generic) -> None:
        """Add a number of the last state that is known only after the step, such as the reward."""
        self._small.setdefault(name, []).append(np.asarray(value))

    def commit(self, *, cut: bool, length: int) -> Future[None]:
        """Write what is left, then move the episode to its place in the store.

        :param cut: whether the store was full before the episode was over
        :param length: the first so many states are stored, the others are deleted
        :return: the writing, to wait for
        """
        self.hand_over()
        return self._executor.submit(self._finish, cut, length)

    def _finish(self, cut: bool, length: int) -> None:
        import zarr
        from zarr.codecs import ZstdCodec

        whole = length == self.length
        attributes: dict[str, Any] = {"length": length, "cut": cut}
        attributes["over"] = self.outcome.over and whole
        attributes["truncated"] = self.outcome.truncated and whole
        group = zarr.open_group(self._hidden, mode="a", attributes=attributes)
        for name, observed in self._large.items():
            group.create_array(
                name,
                shape=(length, *observed.shape),
                # a short episode is no whole block, most of which would be zeros
                chunks=(min(self.length, BLOCK), *observed.shape),
                dtype=observed.dtype,
                compressors=ZstdCodec(level=ZSTD_LEVEL),
            )
            for number in range(math.ceil(length / BLOCK), math.ceil(self.length / BLOCK)):
                shutil.rmtree(self._hidden / name / "c" / str(number))
        rows, fields = pack({name: np.stack(all_[:length]) for name, all_ in self._small.items()})
        group.create_array(COLUMNS, data=rows, chunks=rows.shape, attributes={"fields": fields})
        shorter = self._hidden.with_name(f"{self._hidden.name}.cut")
        if self.place.exists():  # cut short by an earlier run
            self.place.rename(shorter)
        self._hidden.rename(self.place)
        shutil.rmtree(shorter, ignore_errors=True)

    def discard(self) -> Future[None]:
        """Delete what has been written of the episode.

        :return: the deletion, to wait for
        """
        return self._executor.submit(shutil.rmtree, self._hidden, ignore_errors=True)

    def hand_over(self) -> None:
        """Give the writing thread the states that it does not have yet.

        Call it at the end of an episode: the environment's next episode fills the same buffers,
        even if this one has to wait until an earlier one is committed.
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
            if number:
                block[n_rows:] = 0  # Zarr stores whole blocks
            path = self._block(name, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(zstd.encode(block if number else block[:n_rows]))


def pack(columns: dict[str, Array]) -> tuple[NDArray[np.uint8], list[list[Any]]]:
    """Join several columns into one array of bytes.

    :param columns: arrays of one length N, by name
    :return: (N, bytes a state) the array, and the name, type and shape of every field
    """
    fields = [[name, column.dtype.str, list(column.shape[1:])] for name, column in columns.items()]
    rows = np.empty(len(next(iter(columns.values()))), make_row_type(fields))
    for name, column in columns.items():
        rows[name] = column
    return rows.view(np.uint8).reshape(len(rows), -1), fields
