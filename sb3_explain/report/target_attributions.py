"""Why this action instead of that one: the maps of all actions for one state."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.captions import format_probability
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png
from sb3_explain.report.overlay import (
    Frame,
    Playfield,
    draw_color_key,
    enlarge,
    lay_over,
    scale_playfield,
)
from sb3_explain.report.palette import Theme, ThemeName

#: largest magnitude of what cannot be seen in a picture, and counts as empty
NOTHING = 1e-6
_CHOSEN = "#d9720b"
# Small games are enlarged to at least this height in pixels, for smooth borders of maps.
_HEIGHT = 320


@dataclasses.dataclass(frozen=True)
class TargetAttributions:
    """One state with the map of each action.

    :param frame: (h, w, 3) uint8, as rendered
    :param attributions: (K, H, W) maps of the actions, see :func:`sb3_explain.report.lay_over`
    :param action_names: names of the K actions
    :param probabilities: (K,) probabilities in [0, 1]; empty if the agent has none
    :param chosen: index of the action that the agent takes
    :param caption: description of the state, for example ``"episode 3, step 120"``
    :param signed: whether the maps lie in [-1, 1]
    :param playfield: part of the frame that the observation shows
    :param forbidden: indices of the actions that action masks forbid here
    :param positions: positions of the states that are shown, by their names, among all given ones
    :raises ExplainError: if the numbers of maps, names and probabilities differ, or there is no
        action ``chosen``
    """

    frame: Frame
    attributions: NDArray[Any]
    action_names: Sequence[str]
    probabilities: Sequence[float] | NDArray[Any]
    chosen: int
    caption: str = ""
    signed: bool = False
    playfield: Playfield | None = None
    forbidden: Collection[int] = ()
    positions: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.action_names)
        if len(self.attributions) != n or len(self.probabilities) not in (0, n):
            raise ExplainError(
                f"{len(self.attributions)} maps, {n} action names and {len(self.probabilities)} "
                "probabilities do not belong together"
            )
        if not 0 <= self.chosen < n:
            raise ExplainError(f"the chosen action is one of 0 to {n - 1}, not {self.chosen}")

    def game(self) -> Frame:
        """Return the frame as rendered, enlarged."""
        return enlarge(self.frame, self._factor)

    def pictures(self) -> Iterator[Frame]:
        """Draw the enlarged frame under the map of each of the K actions."""
        game, playfield = self.game(), scale_playfield(self.playfield, self._factor)
        for attribution in self.attributions:
            yield lay_over(game, attribution, signed=self.signed, playfield=playfield)

    def probability(self, action: int) -> str:
        """Format the probability of an action; empty if the agent has none."""
        if action in self.forbidden:
            return "forbidden"
        return (
            format_probability(float(self.probabilities[action])) if len(self.probabilities) else ""
        )

    def is_chosen(self, action: int) -> bool:
        """Whether the agent takes an action; one name without a probability is a quantity's."""
        several = len(self.action_names) > 1 or len(self.probabilities) > 0
        return action == self.chosen and several

    def is_empty(self, action: int) -> bool:
        """Whether the map of an action is 0 everywhere: it names nothing that matters."""
        return is_nothing(self.attributions[action])

    @property
    def _factor(self) -> int:
        return find_factor(self.frame)


def find_factor(frame: Frame) -> int:
    """By which factor a frame (h, w, 3) is enlarged to be shown."""
    height: int = frame.shape[0]
    return max(1, math.ceil(_HEIGHT / height))


def is_nothing(attribution: NDArray[Any]) -> bool:
    """Whether a map is 0 everywhere."""
    return not bool((np.abs(attribution) > NOTHING).any())


@plain_fonts
def target_attributions_figure(example: TargetAttributions, *, theme: ThemeName = "light") -> bytes:
    """Draw a state and the map of each action with its probability, the chosen action framed.

    :param example: the state with its maps
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    look = get_theme(theme)
    game = example.game()
    n_panels = len(example.action_names) + 1
    columns = n_panels if n_panels <= 3 else 4 if n_panels <= 8 else 5
    rows = math.ceil(n_panels / columns)
    width = 2.5
    height = width * game.shape[0] / game.shape[1] + 0.55
    figure = Figure(
        figsize=(width * columns, height * rows + 0.8),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06),
    )
    panels = figure.subplots(rows, columns, squeeze=False).flat

    _draw(next(panels), game, "the state", "as rendered", look)
    for action, picture in enumerate(example.pictures()):
        chosen = example.is_chosen(action)
        probability = example.probability(action)
        remarks = [probability, "chosen" * chosen, "empty map" * example.is_empty(action)]
        remark = ", ".join(filter(None, remarks))
        _draw(next(panels), picture, example.action_names[action], remark, look, chosen)
    for spare in panels:
        spare.set_axis_off()

    figure.suptitle(
        example.caption or "Why this action instead of that one",
        x=0.012,
        ha="left",
        color=look.ink,
        fontsize=14,
        fontweight="bold",
    )
    _draw_key(figure, example.signed, "the action" if len(example.probabilities) else "it", look)
    return render_png(figure, look)


def _draw(
    axes: Axes, picture: Frame, name: str, remark: str, look: Theme, chosen: bool = False
) -> None:
    axes.imshow(picture, interpolation="antialiased", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    ink = _CHOSEN if chosen else look.ink
    size = min(12.0, 250 / max(len(name), 1))
    axes.set_title(name, **{**TITLE, "fontsize": size}, color=ink, pad=4)
    axes.set_xlabel(remark, loc="left", color=ink if chosen else look.faint, fontsize=11)
    for spine in axes.spines.values():
        spine.set(visible=chosen, color=_CHOSEN, linewidth=3.5)


def _draw_key(figure: Figure, signed: bool, what: str, look: Theme) -> None:
    """Draw the color scale of the maps in the lower left corner."""
    across, up = 1 / figure.get_figwidth(), 1 / figure.get_figheight()
    # An empty line makes the layout leave room.
    figure.supxlabel(" ", fontsize=14)
    key = figure.add_axes((0.1 * across, 0.1 * up, 1.3 * across, 0.15 * up))
    key.set_in_layout(False)
    key.imshow(draw_color_key(signed), aspect="auto")
    key.set_axis_off()
    scale = "blue against, orange" if signed else "from unimportant to important"
    words = figure.text(
        1.5 * across, 0.175 * up, f"{scale} for {what}", va="center", color=look.faint
    )
    words.set_in_layout(False)


def encode_png(picture: Frame) -> bytes:
    """Encode a picture (h, w, 3) uint8 as a small PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
