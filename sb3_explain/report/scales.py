"""The range in which attributions are drawn: their largest magnitude, and whether they have signs.

Every method has a range of its own: gradients of a thousandth, Q-values of hundreds, masks in
[0, 1]. A picture that took the numbers as they are would be black for the one and out of range for
the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.overlay import draw_color_key


def format_tick(value: float) -> str:
    """Format an end of a scale: two digits, or whole numbers without an exponent.

    >>> from sb3_explain.report.scales import format_tick
    >>> format_tick(0.1234), format_tick(-142.3), format_tick(2.5e6)
    ('0.12', '-142', '2.5e+06')

    :param value: the number
    """
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.2g}"


@dataclasses.dataclass(frozen=True)
class Scale:
    """The range of attributions that are drawn with one color bar.

    >>> from sb3_explain.report.scales import Scale
    >>> scale = Scale.measure([np.array([-0.02, 0.01])])
    >>> scale.peak, scale.signed, scale.apply(np.array([-0.02, 0.01]))
    (0.02, True, array([-1. ,  0.5]))

    :param peak: attribution that has the strongest color; 0 if all attributions are 0
    :param signed: whether there are negative ones, so that 0 stands in the middle of the colors
    :param ends: lowest and highest attribution, 0 among them; as the peak says when not given
    """

    peak: float
    signed: bool
    ends: tuple[float, float] | None = None

    @classmethod
    def measure(cls, attributions: Iterable[NDArray[Any]]) -> Scale:
        """Measure the range of all attributions that share a color bar.

        :param attributions: arrays of any shapes
        :raises ExplainError: if a value is not finite
        """
        every = list(attributions)
        if not all(np.isfinite(each).all() for each in every):
            raise ExplainError("the attributions hold NaN or infinity: nothing can be drawn")
        peak = max((float(np.abs(each).max()) for each in every if each.size), default=0.0)
        low = min((float(each.min()) for each in every if each.size), default=0.0)
        high = max((float(each.max()) for each in every if each.size), default=0.0)
        return cls(peak, low < 0, (min(low, 0.0), max(high, 0.0)))

    @classmethod
    def join(cls, scales: Iterable[Scale]) -> Scale:
        """Make the scale of all attributions that some scales were measured on.

        >>> from sb3_explain.report.scales import Scale
        >>> Scale.join([Scale(2.0, signed=False), Scale(0.5, signed=True)])
        Scale(peak=2.0, signed=True, ends=(-0.5, 2.0))

        :param scales: any number of scales
        """
        every = list(scales)
        peak = max((each.peak for each in every), default=0.0)
        low = min((each.span[0] for each in every), default=0.0)
        high = max((each.span[1] for each in every), default=0.0)
        return cls(peak, any(each.signed for each in every), (low, high))

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest attribution, 0 among them."""
        return self.ends or (-self.peak if self.signed else 0.0, self.peak)

    @property
    def room(self) -> tuple[float, float]:
        """The ends of bars: as :attr:`span`, with a tenth of the peak at least on both sides.

        >>> from sb3_explain.report.scales import Scale
        >>> Scale(2.0, True, (-0.5, 2.0)).room, Scale(2.0, True, (-2.0, 0.0)).room
        ((-0.5, 2.0), (-2.0, 0.2))
        """
        smallest = (self.peak or 1.0) / 10
        low, high = self.span
        return (min(low, -smallest) if self.signed else 0.0), max(high, smallest)

    @property
    def empty(self) -> bool:
        """Whether all attributions are 0."""
        return self.peak == 0

    def apply(self, attributions: NDArray[Any]) -> NDArray[np.float64]:
        """Scale attributions to [-1, 1] if they have a sign, else to [0, 1]."""
        # in double precision: a peak may be so small that its inverse has no float32
        scaled = np.asarray(attributions, dtype=np.float64) / (self.peak or 1.0)
        return np.clip(scaled, -1.0 if self.signed else 0.0, 1.0)

    def color(self, *, gray: bool = False) -> ScalarMappable:
        """Return the colors of attributions, for a color bar.

        :param gray: whether light stands for the magnitude, instead of a color for the value
        """
        peak = self.peak or 1.0
        if gray:
            ramp = np.repeat(np.linspace(0.2, 1, 256)[:, None], 3, axis=1)
            return ScalarMappable(Normalize(0, peak), ListedColormap(ramp))
        colors = ListedColormap(draw_color_key(self.signed)[0] / 255)
        return ScalarMappable(Normalize(-peak if self.signed else 0, peak), colors)
