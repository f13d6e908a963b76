"""Read parts of a store: some steps of single episodes, with memory for these alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.episodes import (
    COLUMNS,
    Attributes,
    episode_folder,
    list_kinds,
    open_arrays,
    open_pictures,
    read_description,
    read_episode_attributes,
    read_fields,
    rename_old,
    require_columns,
    require_room,
    split_frames,
    unpack,
)
from sb3_explain.states.zarr_files import REMEDY, open_array

Array = NDArray[Any]


class Part(NamedTuple):
    """Steps of an episode.

    :param episode: number of the episode
    :param start: number of the first step
    :param stop: number after the last step
    """

    episode: int
    start: int
    stop: int


class StoreReader:
    """Reads a store of any size, a part at a time; a running ``collect`` may append to it.

    What :meth:`sb3_explain.StateDataset.open` checks of all episodes is checked of each when it is
    read.

    :param folder: folder of the store
    :raises ExplainError: if there is no store, or no complete episode in it
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = read_description(folder)
        self._n_episodes = 0
        if not self.count():
            raise ExplainError(f"{folder} holds no whole episode yet: run collect again")
        first, length = episode_folder(folder, 0), self.read_attributes(0).length
        self._kinds = list_kinds(open_arrays(first, length))
        require_columns(self._kinds, first, self.description["n_stack"])
        #: shape (h, w, 3) of rendered frames; ``None`` if there are none
        self.picture_shape: tuple[int, ...] | None = None
        if self.description["rendered"]:
            self.picture_shape = open_pictures(first, length).shape[1:]

    @property
    def state_bytes(self) -> int:
        """Number of bytes of a state and its rendered frame."""
        sizes = (dtype.itemsize * int(np.prod(shape)) for dtype, shape in self._kinds.values())
        return sum(sizes) + int(np.prod(self.picture_shape or (0,)))

    def count(self) -> int:
        """Count the episodes that are complete by now."""
        while episode_folder(self.folder, self._n_episodes).is_dir():
            self._n_episodes += 1
        return self._n_episodes

    def read_attributes(self, number: int) -> Attributes:
        """Read what the store says of an episode.

        :raises ExplainError: if it is damaged, or there is no such episode
        """
        if not 0 <= number < self.count():
            raise ExplainError(f"there is no episode {number}: give one of 0 to {self.count() - 1}")
        return read_episode_attributes(episode_folder(self.folder, number))

    def read_columns(self, number: int) -> StateDataset:
        """Read the small columns of all steps of an episode, without its frames."""
        attributes = self.read_attributes(number)
        folder = episode_folder(self.folder, number)
        stored = open_array(folder / COLUMNS)
        fields = read_fields(stored)
        if stored.shape[0] != attributes.length:
            raise ExplainError(f"{folder} is damaged (its columns have another length): {REMEDY}")
        require_room(stored.row_bytes * attributes.length, f"the columns of {folder}")
        columns = unpack(stored.read(0, attributes.length), fields)
        columns = {name: one for name, one in columns.items() if name.split(".")[0] != "frames"}
        columns["ended"] = np.full(attributes.length, attributes.ending, np.uint8)
        columns["episode"] = np.full(attributes.length, number)
        starts = columns.pop("starts", np.zeros(attributes.length, bool))
        return StateDataset({}, rename_old(columns), starts)

    def read(self, parts: Sequence[Part]) -> StateDataset:
        """Read steps of episodes, with the frames before them that belong to their stacks.

        :param parts: the steps, within their episodes
        :raises ExplainError: if an episode is damaged, or there are no such steps
        """
        stacks = self.description.get("stored_stacks")
        before = 0 if stacks is not None else self.description["n_stack"] - 1
        read, indices, at = [], [], 0
        for part in parts:
            length = self.read_attributes(part.episode).length
            if not 0 <= part.start < part.stop <= length:
                raise ExplainError(f"episode {part.episode} has no such steps: it has {length}")
            low = max(0, part.start - before)
            read.append(self._read_arrays(part.episode, low, part.stop, length))
            indices.append(np.arange(at + part.start - low, at + part.stop - low))
            at += part.stop - low
        arrays = {name: np.concatenate([one[name] for one in read]) for name in read[0]}
        rendered = arrays.pop("rgb", None)
        starts = arrays.pop("starts")
        frames, columns = split_frames(arrays)
        return StateDataset(
            frames,
            columns,
            starts,
            n_stack=stacks or self.description["n_stack"],
            stores_stacks=stacks is not None,
            indices=np.concatenate(indices),
            rendered=rendered,
            provenance=self.description,
        )

    def _read_arrays(self, number: int, start: int, stop: int, length: int) -> dict[str, Array]:
        folder = episode_folder(self.folder, number)
        stored = open_arrays(folder, length)
        if list_kinds(stored) != self._kinds:
            first = episode_folder(self.folder, 0).name
            raise ExplainError(f"{folder} has other arrays than {first}: {REMEDY}")
        require_room((stop - start) * self.state_bytes, f"steps {start} to {stop} of {folder}")
        arrays: dict[str, Array] = {}
        for name, observed in stored.items():
            rows = observed.read(start, stop)
            small = unpack(rows, observed.attributes["fields"]) if name == COLUMNS else {name: rows}
            arrays |= small
        if self.picture_shape is not None:
            pictures = open_pictures(folder, length)
            if pictures.shape[1:] != self.picture_shape:
                raise ExplainError(
                    f"{folder} has pictures of another size than the first: {REMEDY}"
                )
            arrays["rgb"] = pictures.read(start, stop)
        ending = self.read_attributes(number).ending
        arrays["ended"] = np.full(stop - start, ending, np.uint8)
        arrays["episode"] = np.full(stop - start, number)
        return rename_old(arrays)

    def sample(self, n_parts: int = 16, n_steps: int = 32) -> StateDataset:
        """Read a few steps of episodes all over the store, from their beginnings to their ends.

        :param n_parts: number of parts, at most
        :param n_steps: number of steps of each, at most
        """
        numbers = np.unique(np.linspace(0, self.count() - 1, n_parts).astype(int)).tolist()
        parts = []
        for place, number in enumerate(numbers):
            length = self.read_attributes(number).length
            start = (length - min(length, n_steps)) * place // max(1, len(numbers) - 1)
            parts.append(Part(number, start, min(start + n_steps, length)))
        return self.read(parts)
