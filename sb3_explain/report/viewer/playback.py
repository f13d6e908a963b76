"""What a viewer shows of one agent, as plain arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError

Array = NDArray[Any]
#: columns that a viewer draws, where they are given
COLUMNS = ("value", "return_to_come", "reward", "advantage", "entropy")


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode, of which consecutive steps are shown, or none.

    :param number: number of the episode, as it is shown
    :param start: position of the first step that is shown
    :param stop: position after the last step that is shown
    :param total: sum of its rewards
    :param ended: how it ended, in words
    :param first: number of the first step that is shown, within the episode
    :param length: number of its steps; of those that are shown when not given
    :param over: whether it is over after these steps, so that its return is known
    :param losses: numbers of its steps that lose something, of all of the episode
    """

    number: int
    start: int
    stop: int
    total: float
    ended: str = ""
    first: int = 0
    length: int | None = None
    over: bool = True
    losses: tuple[int, ...] = ()


def list_first_steps(episodes: Sequence[Episode], every: int) -> NDArray[np.int64]:
    """List the positions of the first of every so many steps of each episode."""
    return np.concatenate([np.arange(one.start, one.stop, every) for one in episodes])


@dataclasses.dataclass(frozen=True)
class Bookmark:
    """A step that is worth a look.

    :param position: position of the step
    :param label: what there is to see
    :param lead: number of steps before it, of the same episode, that are explained like itself
    """

    position: int
    label: str
    lead: int = 1


def list_steps_to(bookmarks: Sequence[Bookmark], episodes: Sequence[Episode]) -> NDArray[np.int64]:
    """List the positions of bookmarks and of the steps that lead to them, in order."""
    steps = {
        position
        for mark in bookmarks
        for one in episodes
        if one.start <= mark.position < one.stop
        for position in range(max(one.start, mark.position - mark.lead), mark.position + 1)
    }
    return np.array(sorted(steps), np.int64)


@dataclasses.dataclass(frozen=True)
class StepAttributions:
    """The maps of one explainer for one target in M steps.

    :param values: (M, H, W), (M, F, H, W) with a map for each frame of the stack, or (M, D) of
        features; in [0, 1], or in [-1, 1] if they are signed
    :param target: number of the target, or ``None`` for that of the action taken, or for the
        quantity that was asked for
    """

    values: Array
    target: int | None = None


@dataclasses.dataclass(frozen=True)
class Explained:
    """What one explainer says of the steps.

    :param name: name of the explainer in the table of metrics
    :param label: the explainer's name, as it is shown
    :param attributions: its maps, a target each
    :param signed: whether maps may be negative
    :param untrained: numbers of the targets that it has hardly learned anything of
    :param positions: (M,) positions of the steps that it explains, in order; all when not given
    :param common: whether 1 stands for the same in all steps, and not for the largest value of each
    """

    name: str
    label: str
    attributions: Sequence[StepAttributions]
    signed: bool = False
    untrained: Collection[int] = ()
    positions: Array | None = None
    common: bool = False


@dataclasses.dataclass(frozen=True)
class Removal:
    """What the agent does in M steps without one region, or one feature.

    :param shares: (M, R, K) in [0, 1]
    :param rows: number of rows of regions; 0 for features
    :param columns: number of columns of regions
    :param positions: (M,) positions of the steps in which this was tried, in order; all when not
        given
    :param filled: by what it is replaced, in words
    """

    shares: Array
    rows: int = 0
    columns: int = 0
    positions: Array | None = None
    filled: str = ""


def bound_regions(length: int, n: int) -> NDArray[np.int64]:
    """Return where each of n nearly equal regions of an axis begins, and where the last one ends.

    :param length: number of pixels of the axis
    :param n: number of regions along it
    :return: (n + 1,)
    """
    return np.arange(n + 1) * length // n


@dataclasses.dataclass(frozen=True)
class Playback:
    """Played steps of an agent, with what explainers say of them.

    :param name: name of the agent, as it is shown
    :param episodes: its episodes, which follow each other
    :param shares: (T, K) probability of each target, or its position in the range, in [0, 1]
    :param taken: (T,) number of the target of the action taken
    :param target_names: K names
    :param groups: numbers of targets of each part of the action, of which each part takes one; one
        part when not given
    :param drawn: how the action is found from the shares, in words
    :param columns: (T,) numbers by name, see :data:`COLUMNS`
    :param rendered: (T, h, w, 3) uint8 frames as a person sees them
    :param observed: (T, H, W) or (T, H, W, 3) uint8 newest frames as the agent sees them
    :param n_stack: number of frames that the agent sees at once
    :param features: (T, D) values of the observation's features
    :param feature_names: D names
    :param explained: what explainers say
    :param removal: what the agent does without a region
    :param bookmarks: steps that are worth a look
    :param forbidden: (T, K) whether action masks forbid each target; ``None`` without masks
    :param asked: name of the quantity that all maps are of; empty for actions
    :param target: number of the target whose maps are shown first; ``None`` for that of the action
        taken
    :param value_note: sentences on the discount of returns and the unit of values
    :param one_scale: whether values and returns are of one unit, and drawn by one scale
    """

    name: str
    episodes: Sequence[Episode]
    shares: Array
    taken: Array
    target_names: Sequence[str]
    groups: Sequence[int] = ()
    drawn: str = ""
    columns: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    rendered: Array | None = None
    observed: Array | None = None
    n_stack: int = 1
    features: Array | None = None
    feature_names: Sequence[str] = ()
    explained: Sequence[Explained] = ()
    removal: Removal | None = None
    bookmarks: Sequence[Bookmark] = ()
    forbidden: Array | None = None
    asked: str = ""
    target: int | None = None
    value_note: str = ""
    one_scale: bool = True

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.taken)

    def require_whole(self) -> None:
        """Raise an :class:`~sb3_explain.ExplainError` unless all arrays are of the same steps."""
        lengths = {"shares": len(self.shares), "taken": len(self.taken)}
        lengths |= {name: len(column) for name, column in self.columns.items()}
        for name in ("rendered", "observed", "features", "forbidden"):
            given = getattr(self, name)
            if given is not None:
                lengths[name] = len(given)
        lengths["episodes"] = self.episodes[-1].stop if self.episodes else 0
        if len(set(lengths.values())) != 1 or not len(self):
            raise ExplainError(f"a playback has numbers of steps that differ: {lengths}")
        for explained in self.explained:
            for each in explained.attributions:
                what = f"maps of {explained.label}"
                self._require_steps(what, len(each.values), explained.positions)
        if self.removal is not None:
            self._require_steps("removals", len(self.removal.shares), self.removal.positions)
        if self.shares.shape[1] != len(self.target_names):
            raise ExplainError(
                f"{self.shares.shape[1]} shares a step, but {len(self.target_names)} target names"
            )

    def _require_steps(self, what: str, n: int, positions: Array | None) -> None:
        steps = np.arange(len(self)) if positions is None else np.asarray(positions)
        if n != len(steps):
            raise ExplainError(f"{n} {what} for {len(steps)} steps")
        if len(steps) and (steps[0] < 0 or steps[-1] >= len(self) or (np.diff(steps) < 1).any()):
            raise ExplainError(f"{what} are of steps that are out of order: {steps.tolist()}")

    @property
    def chosen(self) -> NDArray[np.float64]:
        """(K,) share of the steps in which each target is taken."""
        counts = np.bincount(np.asarray(self.taken, np.int64), minlength=len(self.target_names))
        return counts / len(self)
