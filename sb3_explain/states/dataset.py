"""StateDataset: states of an agent's life, with single frames once and stacks rebuilt by index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import read_json
from sb3_explain.envs.spaces import SINGLE, Observations
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.store import COLUMNS, episode_folder, episode_folders, unpack

Array = NDArray[Any]


class StateDataset:
    """States in lstm_states, as views that share their frames.

    :param frames: per key of the observation (``""`` if it is no dict), (N, C, H, W) or (N, D)
        single frames in time order
    :param columns: arrays of length N: at least ``greedy`` and ``episode``
    :param starts: (N,) whether the frame stack was emptied before this frame
    :param n_stack: frames in an observation
    :param pad: what stands before the first frame of a stack: ``"zeros"`` or ``"repeat"`` (it)
    :param indices: the states that this view holds; all when not given
    :param rendered: source of RGB frames: an array (N, h, w, 3), or a store's folder
    :param provenance: plain data about where the states come from
    """

    def __init__(
        self,
        frames: dict[str, Tensor],
        columns: dict[str, Array],
        starts: ArrayLike,
        *,
        n_stack: int = 1,
        pad: str = "zeros",
        indices: ArrayLike | None = None,
        rendered: Array | Path | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        if pad not in ("zeros", "repeat"):
            raise ExplainError(f"unknown padding {pad!r} (known: repeat, zeros)")
        self._frames = frames
        self._columns = columns
        self._starts = np.asarray(starts, dtype=bool)
        self._pad = pad
        self._rendered = rendered
        self.n_stack = n_stack
        self.provenance = provenance or {}
        total = len(self._starts)
        self.indices = np.arange(total) if indices is None else np.asarray(indices, np.int64)
        #: (N, F) frames of each stack, oldest first; -1 stands for a frame of zeros
        self._stacks = torch.from_numpy(stack_indices(self._starts, n_stack, pad))

    @classmethod
    def from_arrays(
        cls,
        frames: ArrayLike,
        episode: ArrayLike,
        greedy: ArrayLike,
        *,
        n_stack: int = 1,
        pad: str = "zeros",
        rendered: Array | None = None,
        **columns: ArrayLike,
    ) -> StateDataset:
        """A data set from arrays at hand.

        :param frames: (N, C, H, W) or (N, D) single frames in time order
        :param episode: (N,) episode of each frame; stacks do not reach over a change
        :param greedy: (N,) the agent's greedy action
        :param n_stack: frames in an observation
        :param pad: ``"zeros"`` or ``"repeat"``
        :param rendered: (N, h, w, 3) uint8 frames to look at
        :param columns: further arrays of length N (``actions``, ``scores``, ``values``, ...)
        """
        episodes = np.asarray(episode)
        starts = np.r_[True, episodes[1:] != episodes[:-1]]
        arrays = {name: np.asarray(column) for name, column in columns.items()}
        arrays |= {"episode": episodes, "greedy": np.asarray(greedy)}
        lengths = {name: len(array) for name, array in arrays.items()}
        lengths["frames"] = len(np.asarray(frames))
        if len(set(lengths.values())) != 1:
            raise ExplainError(f"the arrays differ in length: {lengths}")
        tensor = torch.as_tensor(np.asarray(frames))
        return cls({SINGLE: tensor}, arrays, starts, n_stack=n_stack, pad=pad, rendered=rendered)

    @classmethod
    def open(cls, folder: str | Path) -> StateDataset:
        """Read what :func:`sb3_explain.collect` has written, as far as it got.

        :raises ExplainError: if there is no store, or no whole episode in it
        """
        folder = Path(folder)
        if not (folder / "states.json").exists():
            raise ExplainError(f"{folder} holds no states: collect some first")
        description = read_json(folder / "states.json")
        episodes = episode_folders(folder)
        if not episodes:
            raise ExplainError(f"{folder} holds no whole episode yet: run collect again")
        parts = [read_episode(episode) for episode in episodes]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        lengths = [len(part["starts"]) for part in parts]
        columns["episode"] = np.repeat(np.arange(len(episodes)), lengths)
        frames = {
            name.removeprefix("frames").removeprefix("."): torch.from_numpy(columns.pop(name))
            for name in sorted(columns)
            if name.split(".")[0] == "frames"
        }
        return cls(
            frames,
            columns,
            columns.pop("starts"),
            n_stack=description["n_stack"],
            rendered=folder if description["rendered"] else None,
            provenance=description,
        )

    def __len__(self) -> int:
        return len(self.indices)

    def observations(self, positions: Any) -> Observations:
        """Stacked observations as the policy sees them.

        :param positions: (B,) positions in this view
        :return: (B, F * C, H, W) or (B, F * D) in the stored dtype; a dict of such for Dict spaces
        """
        stacks = self._stacks[torch.as_tensor(self.indices[np.asarray(positions)])]
        gathered = {key: gather(frames, stacks) for key, frames in self._frames.items()}
        return gathered[SINGLE] if set(gathered) == {SINGLE} else gathered

    def frames(self, positions: Any = slice(None)) -> Tensor:
        """(B, C, H, W) or (B, D) newest frames of the states.

        :raises ExplainError: for Dict observations, whose keys have no common frame
        """
        if set(self._frames) != {SINGLE}:
            raise ExplainError(f"observations are a dict of {sorted(self._frames)}: name a key")
        return self._frames[SINGLE][torch.as_tensor(self.indices[positions])]

    def policy_inputs(self, positions: Any) -> dict[str, Tensor]:
        """What the agent knew besides its observations: ``lstm_states`` and ``action_masks``, if
        any.

        :param positions: (B,) positions in this view
        :return: (B, ...) tensors by name, as :class:`sb3_explain.states.batch.StateBatch` takes
            them
        """
        known = [name for name in ("lstm_states", "action_masks") if name in self._columns]
        return {name: torch.from_numpy(self.column(name)[np.asarray(positions)]) for name in known}

    def frames_by_key(self, positions: Any = slice(None)) -> dict[str, Tensor]:
        """Newest frames of the states by key; the name of the only one is empty."""
        chosen = torch.as_tensor(self.indices[positions])
        return {name: frames[chosen] for name, frames in self._frames.items()}

    def rendered(self, positions: Any) -> Array | None:
        """(B, h, w, 3) uint8 frames as a person sees them; ``None`` if none were kept."""
        return self._pictures(self.indices[np.asarray(positions)])

    def _pictures(self, wanted: Array) -> Array | None:
        """Rendered frames by index."""
        if self._rendered is None:
            return None
        if not isinstance(self._rendered, Path):
            here: Array = self._rendered[wanted]
            return here
        import zarr

        episodes = self._columns["episode"]
        first = np.r_[0, np.flatnonzero(np.diff(episodes)) + 1]
        pictures: list[Array] = [np.empty(0)] * len(wanted)
        for episode in np.unique(episodes[wanted]):
            group = zarr.open_group(episode_folder(self._rendered, int(episode)), mode="r")
            here = np.flatnonzero(episodes[wanted] == episode)
            steps = wanted[here] - first[episode]
            low, high = int(steps.min()), int(steps.max()) + 1
            block = np.asarray(group["rgb"][low:high])  # type: ignore[index]
            for place, step in zip(here, steps, strict=True):
                pictures[place] = block[step - low]
        stacked: Array = np.stack(pictures)
        return stacked

    def column(self, name: str) -> Array:
        """A further column of the store for the states of this view.

        :raises ExplainError: if there is none of that name
        """
        if name not in self._columns:
            raise ExplainError(f"no column {name!r} in these states: {sorted(self._columns)}")
        return self._columns[name][self.indices]

    @property
    def greedy(self) -> Array:
        """(n,) the agent's greedy action: the label."""
        return self.column("greedy")

    @property
    def actions(self) -> Array:
        """(n, ...) the action taken."""
        return self.column("actions")

    @property
    def episode(self) -> Array:
        """(n,) number of the episode that each state is from."""
        return self.column("episode")

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n,) number of each state within its episode, counted in this view."""
        _, first, number = np.unique(self.episode, return_index=True, return_inverse=True)
        steps: NDArray[np.int64] = np.arange(len(self)) - first[number]
        return steps

    def require_labels_of(self, agent: Agent) -> None:
        """:raises ExplainError: if the states are known to be another agent's"""
        theirs = self.provenance.get("agent", {}).get("weights_sha256")
        if theirs is not None and theirs != agent.fingerprint():
            raise ExplainError("these states were labelled by another agent: collect its own")

    def with_labels(self, columns: Mapping[str, Array], agent: Agent) -> StateDataset:
        """The same states as another agent labels them.

        :param columns: (n, ...) by name, in place of those of this view: at least ``greedy``
        :param agent: whose labels they are
        """
        view = self.subset(np.arange(len(self)))
        view._columns = dict(self._columns)
        for name, column in columns.items():
            whole = np.zeros((len(self._starts), *column.shape[1:]), column.dtype)
            whole[self.indices] = column
            view._columns[name] = whole
        view.provenance = {**self.provenance, "agent": agent.describe()}
        return view

    def fingerprint(self) -> str:
        """SHA-256 over which states these are and how they are labelled."""
        digest = hashlib.sha256(self.indices.tobytes())
        digest.update(np.ascontiguousarray(self.greedy).tobytes())
        return digest.hexdigest()

    def subset(self, positions: Any) -> StateDataset:
        """A view of some states that shares the frames."""
        view = object.__new__(StateDataset)
        view.__dict__.update(self.__dict__)
        view.indices = self.indices[np.asarray(positions)]
        return view

    def batch(
        self,
        agent: Agent,
        positions: Any,
        target: Tensor | int | None = None,
        *,
        cache: ForwardCache | None = None,
    ) -> StateBatch:
        """Some states on the agent's device, with what it knew besides its observations.

        :param agent: whose states they are
        :param positions: (B,) positions in this view
        :param target: see :class:`~sb3_explain.states.batch.StateBatch`, as is the next
        :param cache: readings that explainers of these states share
        """
        return StateBatch(
            agent, self.observations(positions), target, self.policy_inputs(positions), cache
        )

    def spread(self, n: int) -> NDArray[np.int64]:
        """(min(n, states),) positions, evenly from the first state to the last."""
        return np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64)

    def sample(self, n: int, seed: int) -> NDArray[np.int64]:
        """(min(n, states),) sorted positions, drawn at random."""
        rng = np.random.default_rng(seed)
        return np.sort(rng.choice(len(self), min(n, len(self)), replace=False)).astype(np.int64)

    def native(self) -> StateDataset:
        """The same states with their rendered frames as observations: (F * 3, h, w) uint8.

        All frames that the states stack are read into memory.

        :raises ExplainError: if no frames were rendered
        """
        stacks = self._stacks[torch.as_tensor(self.indices)]
        used = np.unique(stacks[stacks >= 0])
        pictures = self._pictures(used)
        if pictures is None:
            raise ExplainError("these states have no rendered frames: collect with render=True")
        return StateDataset(
            {SINGLE: torch.from_numpy(pictures).permute(0, 3, 1, 2)},
            {name: column[used] for name, column in self._columns.items()},
            self._starts[used],
            n_stack=self.n_stack,
            pad=self._pad,
            indices=np.searchsorted(used, self.indices),
            rendered=pictures,
            provenance=self.provenance,
        )

    def with_columns(self, **columns: ArrayLike) -> StateDataset:
        """A view that shares the frames, in which some columns are others.

        :param columns: arrays of this view's length
        """
        view = self.subset(np.arange(len(self)))
        view._columns = dict(self._columns)
        for name, given in columns.items():
            by_key = np.asarray(given)
            column = np.zeros((len(self._starts), *by_key.shape[1:]), by_key.dtype)
            column[self.indices] = by_key
            view._columns[name] = column
        return view

    def split(
        self, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
    ) -> tuple[StateDataset, ...]:
        """Disjoint views by whole episodes, so that neighbouring frames do not leak.

        Episodes are shuffled and dealt to the last part until it has its share, then to the one
        before, and so on; every part has at least one episode.

        :param fractions: share of the states that each part shall have
        :param seed: of the shuffle
        :raises ExplainError: if there are fewer episodes than parts
        """
        episodes, counts = np.unique(self.episode, return_counts=True)
        if len(episodes) < len(fractions):
            raise ExplainError(
                f"{len(self)} states of {len(episodes)} episode(s) cannot be split into "
                f"{len(fractions)} parts by episode: collect more states, or fewer per episode"
            )
        order = np.random.default_rng(seed).permutation(len(episodes))
        dealt: list[list[int]] = []
        left = list(order)
        for remaining, fraction in reversed(list(enumerate(fractions[1:], start=1))):
            part: list[int] = []
            while len(left) > remaining and (
                not part or counts[part].sum() + counts[left[-1]] / 2 < fraction * len(self)
            ):
                part.append(left.pop())
            dealt.insert(0, part)
        parts = [left, *dealt]
        return tuple(
            self.subset(np.flatnonzero(np.isin(self.episode, episodes[part]))) for part in parts
        )


def read_episode(folder: Path) -> dict[str, Array]:
    """All arrays of an episode but its rendered frames.

    :raises ExplainError: if one is damaged or missing
    """
    import zarr

    try:
        group = zarr.open_group(folder, mode="r")
        length = int(str(group.attrs["length"]))
        arrays: dict[str, Array] = {}
        for name, array in group.arrays():
            if name == COLUMNS:
                fields: Any = array.attrs["fields"]
                arrays |= unpack(np.asarray(array[:]), fields)
            elif name != "rgb":
                arrays[name] = np.asarray(array[:])
        if "memory" in arrays:  # as stores of version 0.1 call it
            arrays["lstm_states"] = arrays.pop("memory")
        if "starts" in arrays and all(len(array) == length for array in arrays.values()):
            return arrays
    except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise ExplainError(f"{folder} is damaged: delete it and collect again") from error
    raise ExplainError(f"{folder} is damaged: delete it and collect again")


def stack_indices(starts: Array, n_stack: int, pad: str) -> NDArray[np.int64]:
    """(N, F) frame indices of every stack, oldest first; -1 where a frame of zeros stands."""
    position = np.arange(len(starts))
    first = np.maximum.accumulate(np.where(starts, position, 0))
    ages = np.arange(n_stack)[::-1]
    wanted = position[:, None] - ages
    before = first[:, None] if pad == "repeat" else -1
    return np.where(wanted < first[:, None], before, wanted)


def gather(frames: Tensor, stacks: Tensor) -> Tensor:
    """(B, F * C, ...) stacks of ``frames`` (N, C, ...) at ``stacks`` (B, F)."""
    wanted = stacks.flatten()
    picked = frames.index_select(0, wanted.clamp_min(0))
    missing = wanted < 0
    if missing.any():
        picked[missing] = 0
    if stacks.shape[1] == 1:
        return picked
    return picked.reshape(len(stacks), stacks.shape[1] * frames.shape[1], *frames.shape[2:])
