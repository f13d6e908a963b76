"""The words of a page for one kind of agent: of pictures or features, of probabilities or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

#: what is measured of Box actions, which have no probability
SIMILARITY = "similarity"
SOFTMAX = "softmax of Q"
#: what the curves of insertion and deletion show, by the measure
_OUTCOMES = {
    "probability": "probability of the action",
    SOFTMAX: "softmax of Q of the action",
    SIMILARITY: "similarity to the agent's own action",
}
#: what stands under a frame, by the measure
_BARS = {
    "probability": "the action, its probability and those of the others",
    SOFTMAX: "the action, the softmax of its Q-value, and those of the others",
    SIMILARITY: "the dimension of the action, and where it and the others lie in their ranges",
}
_SHARES = {SIMILARITY: "position in its range"}


@dataclasses.dataclass(frozen=True)
class Wording:
    """What a page calls the parts of an observation, and what the agent says of an action.

    :param pictures: whether the agent observes pictures
    :param measure: what is measured of the explained action: ``"probability"``,
        ``"softmax of Q"`` or, of Box actions, ``"similarity"``
    :param n_features: number of features of an observation; unknown when not given
    :param quantity: name of what is explained, such as ``"value"``; empty for actions
    """

    pictures: bool = True
    measure: str = "probability"
    n_features: int | None = None
    quantity: str = ""

    @classmethod
    def read(cls, states: Mapping[str, Any]) -> Wording:
        """Read the kind of agent from the ``states`` of metrics.json; older ones do not say it."""
        n_features, measure = states.get("n_features"), states.get("measure")
        target = states.get("target")
        # the agent's own probability is that of actions
        scalar = isinstance(target, str) and states.get("own_probability") is None
        return cls(
            pictures=states.get("pictures", True) is not False,
            measure=measure if measure in _OUTCOMES else "probability",
            n_features=n_features if isinstance(n_features, int) and n_features > 0 else None,
            quantity=str(target) if scalar else "",
        )

    @property
    def continuous(self) -> bool:
        """Whether actions are continuous, and have no probabilities."""
        return self.measure == SIMILARITY

    @property
    def explained(self) -> str:
        """What a map is of: the action, or the quantity."""
        return self.quantity or "the action"

    @property
    def outcome(self) -> str:
        """What is recorded while features are revealed or removed."""
        return _OUTCOMES[self.measure]

    @property
    def bars(self) -> str:
        """What stands under the frames of a video."""
        return _BARS[self.measure]

    @property
    def shares(self) -> str:
        """What a number beside the picture of an action is."""
        return _SHARES.get(self.measure, self.measure)

    def count(self, share: float) -> int | None:
        """Number of features at a share, at least one; ``None`` where pixels are too many to count.

        :param share: share of the features, in [0, 1]
        """
        if self.pictures or self.n_features is None:
            return None
        return max(1, round(share * self.n_features)) if share else 0

    def label(self, share: float) -> str:
        """A share in the head of a column: ``"10 %"`` or ``"1 of 4 features"``."""
        n = self.count(share)
        if n is None:
            return f"{100 * share:g}\N{NO-BREAK SPACE}%"
        return f"{n} of {self.n_features} features"

    def part(self, share: float) -> str:
        """A share within a sentence: ``"the 10 % of the observation"``, ``"the feature"``."""
        n = self.count(share)
        if n is None:
            return f"the {100 * share:g}\N{NO-BREAK SPACE}% of the observation"
        if n == 1:
            return f"the one of {self.n_features} features"
        return f"the {n} of {self.n_features} features"

    def fill(self, text: str, share: float | None = None) -> str:
        """Fill the gaps of a metric's label or description.

        :param text: a text with ``{outcome}``, ``{share}`` and the like
        :param share: share of the observation in the metric's name
        """
        gaps = {
            "{outcome}": self.outcome,
            "{tenth}": self.part(0.1),
            "{flipped}": "Pixel" if self.pictures else "Feature",
            "{flipped_to}": "black" if self.pictures else "0",
            "{same}": "does the same, to a 20th of the range of the explained dimension"
            if self.continuous
            else "chooses the same action",
        }
        if share is not None:
            gaps |= {"{share}": self.label(share), "{part}": self.part(share)}
        for gap, words in gaps.items():
            text = text.replace(gap, words)
        return text
