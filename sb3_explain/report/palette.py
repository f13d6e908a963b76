"""One color per explainer, the same in every figure and table of a report, light or dark."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

ThemeName = Literal["light", "dark"]

# Middle tones: each stands at 3 to 1 or more against white and against the dark background.
_COLORS = ("#d9720b", "#3a86d1", "#1f9d6c", "#c6569a", "#8f6fd6", "#1c98a8", "#a58618", "#d9534a")
_GRAY = "#82868e"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_DASHES = ((4.0, 2.0), (1.2, 1.8), (7.0, 2.0, 1.2, 2.0), (9.0, 3.0))


@dataclasses.dataclass(frozen=True)
class Theme:
    """The colors of a figure, as hexadecimal strings.

    :param paper: color of the background
    :param ink: color of titles and labels
    :param faint: color of less important text
    :param grid: color of grid lines
    """

    paper: str
    ink: str
    faint: str
    grid: str


THEMES: Mapping[ThemeName, Theme] = {
    "light": Theme("#ffffff", "#1d2026", "#5d636e", "#e3e5ea"),
    "dark": Theme("#1b1e25", "#e9ebf0", "#a3a9b6", "#333843"),
}


@dataclasses.dataclass(frozen=True)
class Style:
    """How an explainer is drawn.

    :param color: color of its lines and bars
    :param marker: matplotlib's name of its marker
    :param dashes: lengths on and off in points; empty for a solid line
    """

    color: str
    marker: str
    dashes: tuple[float, ...] = ()


def assign_styles(names: Iterable[str], controls: Collection[str]) -> dict[str, Style]:
    """Assign a style to each explainer: colors in the order given, controls gray and dashed.

    From the ninth explainer on colors are reused with another dash.

    :param names: names of the explainers
    :param controls: names of the controls
    """
    drawn: dict[str, Style] = {}
    n_colored = n_gray = 0
    for name in names:
        if name in controls:
            drawn[name] = Style(_GRAY, "|", _DASHES[n_gray % len(_DASHES)])
            n_gray += 1
        else:
            again, index = divmod(n_colored, len(_COLORS))
            dashes = _DASHES[(again - 1) % len(_DASHES)] if again else ()
            drawn[name] = Style(_COLORS[index], _MARKERS[index], dashes)
            n_colored += 1
    return drawn
