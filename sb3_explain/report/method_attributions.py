"""One state as every method sees it: their maps of the same target, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from sb3_explain.report.overlay import Frame, enlarge, lay_over
from sb3_explain.report.target_attributions import find_factor, is_nothing


@dataclasses.dataclass(frozen=True)
class MethodAttributions:
    """The maps of one target of one state by several methods.

    :param frame: (h, w, 3) uint8, as rendered
    :param attributions: (H, W) map of each method by its label, in [0, 1], or in [-1, 1] if it is
        signed
    :param signed: labels of the methods whose maps are negative where they speak against
    :param caption: what is explained, and in which state
    :param positions: positions of the states that are shown, by their names, among all given ones
    """

    frame: Frame
    attributions: Mapping[str, NDArray[Any]]
    signed: Collection[str] = ()
    caption: str = ""
    positions: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def game(self) -> Frame:
        """Return the frame as rendered, enlarged."""
        return enlarge(self.frame, find_factor(self.frame))

    def pictures(self) -> Iterator[tuple[str, Frame]]:
        """Draw the enlarged frame under the map of each method, with the method's label."""
        game = self.game()
        for label, found in self.attributions.items():
            yield label, lay_over(game, found, signed=label in self.signed)

    def is_empty(self, label: str) -> bool:
        """Whether the map of a method is 0 everywhere."""
        return is_nothing(self.attributions[label])
