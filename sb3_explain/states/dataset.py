"""StateDataset: states of an agent's episodes, which stores each frame once and stacks by index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sb3_explain.agents.adopted_names import adopt_stored_names
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.common.bootstrap import number_steps
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.numbers import pick
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import SINGLE, Observations
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.episodes import (
    describe_cut,
    episode_folders,
    read_description,
    read_episodes,
    read_pictures,
    split_frames,
)
from sb3_explain.states.facts import StateFacts
from sb3_explain.states.splitting import split_into_parts
from sb3_explain.states.stacks import gather, index_stacks
from sb3_explain.states.temporary import TemporaryFolder

Array = NDArray[Any]


class StateDataset(StateFacts):
    """States of an agent in memory. Subsets are views that share the frames.

    :func:`collect`, :meth:`open` and :meth:`from_arrays` make one.

    >>> from sb3_explain import StateDataset
    >>> frames = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), np.uint8)
    >>> episode = np.arange(40) // 10
    >>> images = StateDataset.from_arrays(frames, episode, np.zeros(40, int), n_stack=4)
    >>> len(images), images.observations([0, 1]).shape
    (40, torch.Size([2, 4, 8, 8]))
    >>> [len(part) for part in images.split((0.5, 0.25, 0.25))]
    [20, 10, 10]

    :param frames: (N, C, H, W) or (N, D) single frames in order of time, by key of the observation;
        the key is empty if the observation is no dict
    :param columns: arrays of length N by name, with at least ``greedy`` and ``episode``
    :param starts: (N,) whether the frame stack was emptied before this frame
    :param n_stack: number of frames in an observation
    :param pad: what fills a stack before its first frame: ``"zeros"``, or that frame, ``"repeat"``
    :param indices: indices of the states of this view; all when not given
    :param rendered: RGB frames (N, h, w, 3), or the folder of a store that has them
    :param provenance: plain data about where the states come from
    :param stores_stacks: whether ``frames`` are whole observations, with ``n_stack`` frames each
    :raises ExplainError: for an unknown padding
    """

    #: how users come by one, for messages
    obtained_by: ClassVar[str] = "collect(agent) returns one"
    #: folder of the rendered frames that lasts as long as these states and their views
    temporary: TemporaryFolder | None = None
    #: number of states that :meth:`split` left out of this part, which training states equal
    n_duplicates = 0

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
        stores_stacks: bool = False,
    ) -> None:
        if pad not in ("zeros", "repeat"):
            raise ExplainError(f"unknown padding {pad!r} (known: repeat, zeros)")
        self._frames = frames
        self._columns = columns
        self._starts = np.asarray(starts, dtype=bool)
        self._pad = pad
        self._rendered = rendered
        self.n_stack = n_stack
        self._stores_stacks = stores_stacks
        self.provenance = provenance or {}
        total = len(self._starts)
        self.indices = np.arange(total) if indices is None else np.asarray(indices, np.int64)
        #: (N, F) frames of each stack, oldest first; -1 stands for a frame of zeros
        self._stacks = torch.from_numpy(index_stacks(self._starts, n_stack, pad))

    @classmethod
    def from_arrays(
        cls,
        frames: ArrayLike | Mapping[str, ArrayLike],
        episode: ArrayLike,
        greedy: ArrayLike,
        *,
        n_stack: int = 1,
        pad: str = "zeros",
        rendered: Array | None = None,
        **columns: ArrayLike,
    ) -> StateDataset:
        """Make a data set from arrays.

        :param frames: (N, C, H, W) or (N, D) single frames in order of time; a dict of such for
            Dict observations
        :param episode: (N,) number of each frame's episode; frames of two episodes are not stacked
        :param greedy: (N,) the agent's greedy actions
        :param n_stack: number of frames in an observation
        :param pad: what fills a stack before its first frame: ``"zeros"`` or ``"repeat"``
        :param rendered: (N, h, w, 3) uint8 RGB frames for people to look at
        :param columns: further arrays of length N (``actions``, ``scores``, ``values``, ...)
        :raises ExplainError: if the arrays differ in length
        """
        episodes = np.asarray(episode)
        starts = np.r_[True, episodes[1:] != episodes[:-1]]
        arrays = {name: np.asarray(column) for name, column in columns.items()}
        arrays |= {"episode": episodes, "greedy": np.asarray(greedy)}
        lengths = {name: len(array) for name, array in arrays.items()}
        given = frames if isinstance(frames, Mapping) else {SINGLE: frames}
        by_key = {key: torch.as_tensor(np.asarray(observed)) for key, observed in given.items()}
        lengths |= {f"frames {key}".strip(): len(observed) for key, observed in by_key.items()}
        if len(set(lengths.values())) != 1:
            raise ExplainError(f"the arrays differ in length: {lengths}")
        return cls(by_key, arrays, starts, n_stack=n_stack, pad=pad, rendered=rendered)

    @classmethod
    def open(cls, folder: str | Path) -> StateDataset:
        """Read the states that :func:`sb3_explain.collect` has stored so far.

        :param folder: folder of the store
        :raises ExplainError: if there is no store, or no complete episode in it
        """
        folder = Path(folder)
        description = read_description(folder)
        if not (folders := episode_folders(folder)):
            raise ExplainError(f"{folder} holds no whole episode yet: run collect again")
        columns, episodes = read_episodes(
            folders, description["n_stack"], rendered=description["rendered"]
        )
        columns["episode"] = np.repeat(np.arange(len(episodes)), [each.length for each in episodes])
        frames, columns = split_frames(columns)
        return cls(
            frames,
            columns,
            columns.pop("starts"),
            n_stack=description.get("stored_stacks", description["n_stack"]),
            stores_stacks="stored_stacks" in description,
            rendered=folder if description["rendered"] else None,
            provenance=description | describe_cut(episodes, description.get("max_per_episode", 0)),
        )

    def __len__(self) -> int:
        return len(self.indices)

    def observations(self, positions: Any) -> Observations:
        """Return stacked observations as the policy sees them.

        :param positions: (B,) positions of the states in this view
        :return: (B, F * C, H, W) or (B, F * D) in the stored dtype; a dict of such for Dict spaces
        """
        chosen = torch.as_tensor(pick(self.indices, positions))
        stacks = chosen[:, None] if self._stores_stacks else self._stacks[chosen]
        gathered = {key: gather(frames, stacks) for key, frames in self._frames.items()}
        return gathered[SINGLE] if set(gathered) == {SINGLE} else gathered

    def frames(self, positions: Any = slice(None)) -> Tensor:
        """Return the newest frames (B, C, H, W) or (B, D) of states.

        :param positions: (B,) positions of the states in this view; all when not given
        :raises ExplainError: for Dict observations, see :meth:`frames_by_key`
        """
        if set(self._frames) != {SINGLE}:
            raise ExplainError(f"observations are a dict of {sorted(self._frames)}: name a key")
        return self.frames_by_key(positions)[SINGLE]

    def policy_inputs(self, positions: Any) -> dict[str, Tensor]:
        """Return what the policy took besides observations: ``lstm_states`` and ``action_masks``.

        :param positions: (B,) positions of the states in this view
        :return: (B, ...) tensors by name, as :class:`sb3_explain.StateBatch` takes
            them; empty for a policy that takes observations alone
        """
        known = [name for name in ("lstm_states", "action_masks") if name in self._columns]
        return {name: torch.from_numpy(pick(self.column(name), positions)) for name in known}

    def frames_by_key(self, positions: Any = slice(None)) -> dict[str, Tensor]:
        """Return the newest frames (B, ...) of states by key.

        :param positions: (B,) positions of the states in this view; all when not given
        """
        stored = self.stored_by_key(positions)
        if not self._stores_stacks or self.n_stack == 1:
            return stored
        return {
            name: stacks[:, -(stacks.shape[1] // self.n_stack) :] for name, stacks in stored.items()
        }

    def stored_by_key(self, positions: Any = slice(None)) -> dict[str, Tensor]:
        """Return what is stored of states by key: the newest frames (B, ...), or whole stacks.

        Baselines are fitted on it: where statistics normalize whole stacks, the same picture is
        another one in each place of a stack.

        :param positions: (B,) positions of the states in this view; all when not given
        """
        chosen = torch.as_tensor(pick(self.indices, positions))
        return {name: frames[chosen] for name, frames in self._frames.items()}

    def rendered(self, positions: Any) -> Array | None:
        """Return RGB frames as a person sees them.

        :param positions: (B,) positions of the states in this view
        :return: (B, h, w, 3) uint8 frames; ``None`` if none were stored
        """
        return self._pictures(pick(self.indices, positions))

    def _pictures(self, indices: Array) -> Array | None:
        """RGB frames by index in the store."""
        if self._rendered is None or not isinstance(self._rendered, Path):
            return None if self._rendered is None else self._rendered[indices]
        return read_pictures(self._rendered, self._columns["episode"], indices)

    def column(self, name: str) -> Array:
        """Return an array of the store for the states of this view.

        :param name: name of the column, such as ``"scores"`` or ``"rewards"``
        :raises ExplainError: if there is no such column
        """
        if name not in self._columns:
            raise ExplainError(f"no column {name!r} in these states: {sorted(self._columns)}")
        return self._columns[name][self.indices]

    @property
    def greedy(self) -> Array:
        """(n,) the agent's greedy actions, which are the labels."""
        return self.column("greedy")

    @property
    def actions(self) -> Array:
        """(n, ...) the actions that were taken."""
        return self.column("actions")

    @property
    def episode(self) -> Array:
        """(n,) number of each state's episode."""
        return self.column("episode")

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n,) number of each state within its episode, from 0, whatever this view leaves out."""
        return number_steps(self._columns["episode"])[self.indices]

    @check_arguments
    def require_labels_of(self, agent: Agent) -> None:
        """Check that the labels are not known to be those of another agent.

        :param agent: agent to explain
        :raises ExplainError: if another agent labelled the states
        """
        known = self.provenance.get("agent") or {}
        if known.get("weights_sha256") not in (None, agent.fingerprint()):
            raise ExplainError("these states were labelled by another agent: collect its own")
        adopt_stored_names(agent, known)

    @check_arguments
    def with_labels(self, columns: Mapping[str, Array], agent: Agent) -> StateDataset:
        """Return the same states with the labels of another agent.

        :param columns: (n, ...) arrays by name that replace this view's, ``greedy`` among them
        :param agent: agent that labelled the states
        """
        view = self.with_columns(**columns)
        view.provenance = {**self.provenance, "agent": agent.describe()}
        return view

    def fingerprint(self) -> str:
        """Compute the SHA-256 hash of the states' indices and labels."""
        labels = np.ascontiguousarray(self.greedy)
        return hashlib.sha256(self.indices.tobytes() + labels.tobytes()).hexdigest()

    def subset(self, positions: Any) -> StateDataset:
        """Return a view of some states that shares the frames.

        :param positions: (n,) positions of the states in this view
        """
        view = object.__new__(StateDataset)
        view.__dict__.update(self.__dict__)
        view.indices = pick(self.indices, positions)
        return view

    def batch(
        self,
        agent: Agent,
        positions: Any,
        target: TargetLike = None,
        *,
        cache: ForwardCache | None = None,
    ) -> StateBatch:
        """Return some states as a batch on the agent's device, with their policy inputs.

        :param agent: agent to explain
        :param positions: (B,) positions of the states in this view
        :param target: what is explained, as :class:`~sb3_explain.StateBatch` takes it
        :param cache: cache of forward passes that explainers of these states share
        """
        adopt_stored_names(agent, self.provenance.get("agent"))
        inputs = self.policy_inputs(positions)
        batch = StateBatch(agent, self.observations(positions), target, inputs, cache)
        batch.positions = torch.as_tensor(np.asarray(positions))
        return batch

    def spread(self, n: int) -> NDArray[np.int64]:
        """Choose ``n`` positions evenly from all; all of them if there are fewer."""
        return np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64)

    def sample(self, n: int, seed: int) -> NDArray[np.int64]:
        """Draw ``n`` positions at random, and sort them; all if there are fewer.

        :param n: number of positions, at most
        :param seed: random seed of the draw
        """
        rng = np.random.default_rng(seed)
        return np.sort(rng.choice(len(self), min(n, len(self)), replace=False)).astype(np.int64)

    def native(self) -> StateDataset:
        """Return the same states with rendered frames as observations: (F * 3, h, w) uint8.

        All frames of the states' stacks are read into memory.

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
        """Return a view that shares the frames, with some columns replaced.

        :param columns: (n, ...) arrays by name
        """
        view = self.subset(np.arange(len(self)))
        view._columns = dict(self._columns)
        for name, given in columns.items():
            by_key = np.asarray(given)
            column = np.zeros((len(self._starts), *by_key.shape[1:]), by_key.dtype)
            column[self.indices] = by_key
            view._columns[name] = column
        return view

    @check_arguments
    def split(
        self,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        seed: int = 0,
        *,
        drop_duplicates: bool | Literal["unless_all"] = True,
        min_test_episodes: int = 0,
        min_test_states: int = 0,
    ) -> tuple[StateDataset, ...]:
        """Split the states by whole episodes, so that no part has neighbors of another's frames.

        States whose stack is that of a state of the first part, or within two grey levels of one in
        every pixel, are left out of the others (see :mod:`sb3_explain.states.duplicates`).

        :param fractions: share of the states that each part shall have, above 0 and 1 together
        :param seed: random seed of the shuffle
        :param drop_duplicates: whether they are left out; ``"unless_all"``: where any others stay
        :param min_test_episodes: smallest number of episodes of the last part, beyond its share
        :param min_test_states: smallest number of its states once such states are left out
        :return: a view for each part, whose ``n_duplicates`` says how many were left out of it
        :raises ExplainError: for other fractions, too few episodes, or a part without states
        """
        smallest = (min_test_episodes, min_test_states)
        return split_into_parts(self, fractions, seed, smallest, drop_duplicates=drop_duplicates)
