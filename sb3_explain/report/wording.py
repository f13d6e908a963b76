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
_SHARES = {SIMILARITY: "position in its range"}


@dataclasses.dataclass(frozen=True)
class Wording:
    """What a page calls the parts of an observation, and what the agent says of an action.

    :param pictures: whether the agent observes pictures
    :param measure: what is measured of the explained action: ``"probability"``,
        ``"softmax of Q"`` or, of Box actions, ``"similarity"``
    :param n_features: number of features of an observation; unknown when not given
    :param quantity: name of what is explained, such as ``"value"``; empty for actions
    :param action: name of the action that is explained in every state, or of the dimension of a Box
        action; empty for the agent's own
    :param taken: share of the states in which the agent itself takes that action; unknown when not
        given
    """

    pictures: bool = True
    measure: str = "probability"
    n_features: int | None = None
    quantity: str = ""
    action: str = ""
    taken: float | None = None

    @classmethod
    def read(cls, states: Mapping[str, Any]) -> Wording:
        """Read the kind of agent from the ``states`` of metrics.json; older ones do not say it."""
        n_features, measure = states.get("n_features"), states.get("measure")
        target, taken = states.get("target"), states.get("target_taken")
        named = target if isinstance(target, str) else ""
        # the agent's own probability is that of actions
        scalar = states.get("own_probability") is None
        return cls(
            pictures=states.get("pictures", True) is not False,
            measure=measure if measure in _OUTCOMES else "probability",
            n_features=n_features if isinstance(n_features, int) and n_features > 0 else None,
            quantity=named if scalar else "",
            action="" if scalar else named,
            taken=taken if isinstance(taken, float) and 0 <= taken <= 1 else None,
        )

    @property
    def continuous(self) -> bool:
        """Whether actions are continuous, and have no probabilities."""
        return self.measure == SIMILARITY

    @property
    def named(self) -> str:
        """Name of the target that was asked for; empty for the agent's own action."""
        return self.quantity or self.action

    @property
    def explained(self) -> str:
        """What a map is of: the agent's action, or the target that was asked for."""
        return self.named or "the action"

    @property
    def outcome(self) -> str:
        """What is recorded while features are revealed or removed."""
        return self._say_outcome(self.explained)

    @property
    def own_outcome(self) -> str:
        """What is recorded, as it is on the whole observations."""
        return self._say_outcome(self.named or "the agent's action")

    def _say_outcome(self, explained: str) -> str:
        if self.quantity:
            return f"change of {self.quantity}"
        said = _OUTCOMES[self.measure].replace("the action", explained)
        return said.replace("own action", f"own {self.action or 'action'}")

    @property
    def done(self) -> str:
        """What the agent does in the states that an accuracy counts, after "the agent"."""
        if self.continuous:
            return f"keeps {self.action or 'the same action'}, to a 20th of its range,"
        return f"takes {self.action or 'the same action'}"

    @property
    def is_done(self) -> str:
        """The same, of the action: a sentence without the one by whom."""
        if not self.action:
            return "the action is kept"
        return f"{self.action} is kept" if self.continuous else f"{self.action} is taken"

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
            "{explained}": self.explained,
            "{whichever}": f", drawn from all and not always {self.action}," if self.action else "",
            "{alike}": "" if self.named else " in which the agent does the same",
            "{same}": f"still does the same, to a 20th of the range of "
            f"{self.action or 'the explained dimension'}"
            if self.continuous
            else f"takes {self.action}, whatever it does otherwise"
            if self.action
            else "still chooses the same action",
        }
        if share is not None:
            gaps |= {"{share}": self.label(share), "{part}": self.part(share)}
        for gap, words in gaps.items():
            text = text.replace(gap, words)
        return text
