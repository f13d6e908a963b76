"""Parts of episodes as a viewer's page asks for them: descriptions and blobs, made on request."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.viewer.encode import describe_playback, write_shares
from sb3_explain.report.viewer.playback import Episode, Playback
from sb3_explain.states.episodes import Attributes
from sb3_explain.states.parts import Part, StoreReader
from sb3_explain.states.store import BLOCK
from sb3_explain.workflows.playback import show_steps
from sb3_explain.workflows.removal import REGIONS
from sb3_explain.workflows.step_columns import compute_columns, describe_value
from sb3_explain.workflows.whole_episodes import ENDED, find_losses

#: bytes of the states of a part, about, and the largest number of its steps
PART_BYTES, PART_STEPS = 2**25, 16 * BLOCK
#: bytes of finished parts that are kept
CACHE_BYTES = 2**26


class AbsentError(ExplainError):
    """Something was asked for that is not in the store."""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Steps of an episode, as a page shows them.

    :param description: JSON
    :param blobs: what the description names, by number
    """

    description: bytes
    blobs: Sequence[bytes]

    @property
    def n_bytes(self) -> int:
        """Number of bytes of all."""
        return len(self.description) + sum(map(len, self.blobs))


class Chunks:
    """Makes the parts of a store's episodes that are asked for; the last ones are kept.

    One is made at a time, so that many readers take no more memory than one.

    :param reader: reads the store
    :param agent: the agent of the states
    :param name: name of the agent, as it is shown
    :param explainers: what the page says of the explainers whose maps can be asked for
    :param asked: name of the quantity that all maps are of; empty for actions
    :param target: number of the target whose maps are shown first
    """

    def __init__(
        self,
        reader: StoreReader,
        agent: Agent,
        *,
        name: str = "",
        explainers: Sequence[dict[str, Any]] = (),
        asked: str = "",
        target: int | None = None,
    ) -> None:
        self.reader = reader
        self.agent = agent
        self._name, self._asked, self._target = name, asked, target
        self._explainers = list(explainers)
        blocks = PART_BYTES // max(1, reader.state_bytes) // BLOCK
        #: number of steps of a part
        self.n_steps = min(max(1, blocks) * BLOCK, PART_STEPS)
        self._cached: OrderedDict[tuple[int, int], Chunk] = OrderedDict()
        self._lock = threading.Lock()

    def list_episodes(self, start: int, n: int) -> dict[str, Any]:
        """List some episodes: number, length, return, and how they ended.

        :param start: number of the first episode
        :param n: number of episodes, at most
        """
        count = self.reader.count()
        listed = []
        for number in range(min(start, count), min(start + n, count)):
            attributes = self.find_attributes(number)
            listed.append({
                "number": number,
                "length": attributes.length,
                "return": self.sum_rewards(number),
                "ended": ENDED[attributes.ending],
                "over": attributes.over,
            })  # fmt: skip
        return {"count": count, "episodes": listed}

    def sum_rewards(self, number: int) -> float | None:
        """Sum an episode's rewards; ``None`` where the sum is no number."""
        total = float(self.reader.read_columns(number).column("rewards").sum(dtype=np.float64))
        return total if np.isfinite(total) else None

    def find_attributes(self, number: int) -> Attributes:
        """Read what the store says of an episode.

        :raises AbsentError: if there is no such episode
        """
        if not 0 <= number < self.reader.count():
            raise AbsentError(f"there is no episode {number}")
        return self.reader.read_attributes(number)

    def get(self, number: int, first: int) -> Chunk:
        """Return the part of an episode that begins at a step; a multiple of :attr:`n_steps`.

        :raises AbsentError: if there is none
        :raises ExplainError: if the episode is damaged
        """
        length = self.find_attributes(number).length
        if first % self.n_steps or not 0 <= first < length:
            raise AbsentError(f"episode {number} has {length:,} steps: no part begins at {first}")
        with self._lock:
            if (number, first) not in self._cached:
                stop = min(first + self.n_steps, length)
                self._cached[number, first] = self._make(Part(number, first, stop))
                while len(self._cached) > 1 and self._sum_bytes() > CACHE_BYTES:
                    self._cached.popitem(last=False)
            self._cached.move_to_end((number, first))
            return self._cached[number, first]

    def _sum_bytes(self) -> int:
        return sum(one.n_bytes for one in self._cached.values())

    def _make(self, part: Part) -> Chunk:
        blobs: list[bytes] = []

        def keep(content: bytes) -> str:
            blobs.append(content)
            return f"{part.episode}/{part.start}/{len(blobs) - 1}"

        described = describe_playback(self.play(part), keep)
        described["explainers"] = self._explainers
        # what is tried on request comes with the map; only its regions are known before
        side = 0 if described["observed"] is None else REGIONS
        nothing = np.zeros((0, 1, len(self.agent.target_names)))
        described["removal"] = {
            "rows": side, "columns": side, "positions": None, "filled": "",
            "shares": write_shares(nothing, keep),
        }  # fmt: skip
        return Chunk(json.dumps(described, allow_nan=False).encode(), blobs)

    def play(self, part: Part) -> Playback:
        """Read steps of an episode, as a page plays them."""
        whole = self.reader.read_columns(part.episode)
        played = compute_columns(self.agent, whole)
        columns = {name: column[part.start : part.stop] for name, column in played.items()}
        attributes = self.reader.read_attributes(part.episode)
        rewards = whole.column("rewards").astype(np.float64)
        episode = Episode(
            part.episode, 0, part.stop - part.start, float(rewards.sum()),
            ENDED[attributes.ending], first=part.start, length=attributes.length,
            over=attributes.over, losses=tuple(find_losses(rewards).tolist()),
        )  # fmt: skip
        states = self.reader.read([part])
        states.require_labels_of(self.agent)
        note = describe_value(self.agent, played, whole.episode)
        shown = show_steps(states, self.agent, [episode], columns, note)
        return dataclasses.replace(shown, name=self._name, asked=self._asked, target=self._target)
