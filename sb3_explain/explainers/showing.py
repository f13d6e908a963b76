"""The panels of an explained observation: pictures, boards, and bars of all other features.

Here an agent's observations and their attributions become plain arrays with names; ``report`` draws
them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import group_sizes, log_probabilities
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_boards
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.explainers.forbidden import describe_forbidden, describe_masks
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch

if TYPE_CHECKING:
    from sb3_explain.report.explanation_figure import ExplanationFigure
    from sb3_explain.report.overlay_styles import OverlayStyle
    from sb3_explain.report.palette import ThemeName
    from sb3_explain.report.panels import Panel

#: most observations of one figure
MOST_OBSERVATIONS = 16
#: a picture whose values fill less of its range than this is stretched: it would be black
DIMMEST = 0.1

#: what is said of a key whose attributions are 0 whatever it does
NOT_EXPLAINED = "not explained"

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Look:
    """How observations are drawn.

    :param style: how maps are drawn on pictures: ``"heat"``, ``"contour"`` or ``"spotlight"``
    :param frames: which frames of a stack are shown: ``"newest"``, ``"all"``, or the number of one,
        from 0 for the oldest or -1 for the newest
    :param rendered: (h, w, 3) uint8 frame of the environment to draw maps on, instead of what the
        agent observes
    """

    style: OverlayStyle = "heat"
    frames: str | int = "newest"
    rendered: Array | None = None

    def choose_frames(self, n_stack: int) -> list[int]:
        """Return the numbers of the frames that are shown, of a stack of ``n_stack``."""
        if self.frames == "all":
            return list(range(n_stack))
        if self.frames == "newest":
            return [n_stack - 1]
        if isinstance(self.frames, int) and -n_stack <= self.frames < n_stack:
            return [self.frames % n_stack]
        raise ExplainError(
            f"frames={self.frames!r}: give 'newest', 'all', or a number from 0 to {n_stack - 1}"
        )

    def check(self, batch: StateBatch) -> None:
        """Check that a batch can be drawn so, before it is explained.

        :raises ExplainError: for an unknown style or frame, too many observations, or a rendered
            frame that is none, or lies over nothing, or stands for several
        """
        from sb3_explain.report.overlay_styles import OVERLAY_STYLES

        if self.style not in OVERLAY_STYLES:
            raise unknown_name("style", self.style, OVERLAY_STYLES)
        self.choose_frames(batch.agent.n_stack)
        if len(batch) > MOST_OBSERVATIONS:
            raise ExplainError(
                f"{len(batch)} observations: one figure shows {MOST_OBSERVATIONS} at most, such as "
                f"observations[:{MOST_OBSERVATIONS}]"
            )
        if self.rendered is not None:
            self._check_rendered(batch)

    def _check_rendered(self, batch: StateBatch) -> None:
        given = self.rendered
        if not (isinstance(given, np.ndarray) and given.ndim == 3 and given.shape[2] == 3) or (
            given.dtype != np.uint8
        ):
            kind = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else quote(given)
            raise ExplainError(
                f"rendered is {kind}: give one frame (h, w, 3) uint8, as env.render() returns it"
            )
        if not batch.agent.layout.pictures:
            raise ExplainError(
                "this agent observes no picture whose map could lie over a rendered frame: leave "
                "out rendered, or call play for a video of both"
            )
        if len(batch) > 1:
            raise ExplainError(
                f"one rendered frame for {len(batch)} observations: give one of each"
            )


def draw_batch(
    batch: StateBatch,
    attributions: Mapping[str, Tensor],
    look: Look,
    *,
    name: str,
    is_mask: bool,
    theme: ThemeName,
    baselines: Mapping[str, Baseline] | None = None,
    left_out: Collection[str] = (),
    remark: str = "",
) -> ExplanationFigure:
    """Draw the attributions of a batch, a row for each observation.

    :param batch: states that were explained
    :param attributions: (B, ...) attributions by key, in the form of the batch
    :param look: how they are drawn
    :param name: name of the explainer
    :param is_mask: whether the attributions are masks in [0, 1]
    :param theme: ``"light"`` or ``"dark"``
    :param baselines: what the explainer's hidden features become, by key
    :param left_out: keys that the explainer does not explain
    :param remark: what a reader has to know of the explainer's maps
    """
    from sb3_explain.report.explanation_figure import explanation_figure
    from sb3_explain.report.panels import share_scales
    from sb3_explain.report.words import get_explainer_label

    targets = [describe_explained(batch, row) for row in range(len(batch))]
    alike = len(set(targets)) == 1  # then the title names it
    explained = share_scales(
        [
            list_panels(
                batch,
                attributions,
                row,
                look,
                heading="" if alike else targets[row],
                baselines=baselines,
                left_out=left_out,
            )
            for row in range(len(batch))
        ]
    )
    rows = [
        [*list_observation_panels(batch, row, look), *panels]
        for row, panels in enumerate(explained)
    ]
    note = ""
    if len(batch) > 1:
        note = "All observations have one scale."
    elif len({panel.scale for panel in explained[0]}) > 1:
        note = "Each panel has a scale of its own."
    return explanation_figure(
        rows,
        title=": ".join([get_explainer_label(name), *targets[:alike]]),
        measure="mask" if is_mask else "attribution",
        note=_join_sentences(note, remark, describe_choice(batch), describe_forbidden(batch)),
        theme=theme,
    )


def list_observation_panels(batch: StateBatch, row: int, look: Look) -> list[Panel]:
    """List the pictures of an observation without a map, one for each that has one with a map.

    :param batch: states
    :param row: which of the states
    :param look: how it is drawn
    """
    from sb3_explain.report.panels import PicturePanel

    return [
        PicturePanel(
            heading=_join("" if look.rendered is None else "rendered game", key, age)
            or "observation",
            picture=picture,
        )
        for key in batch.agent.layout.pictures
        for age, picture, _ in _cut_frames(batch, key, row, look)
    ]


def list_panels(
    batch: StateBatch,
    attributions: Mapping[str, Tensor],
    row: int,
    look: Look,
    *,
    heading: str = "",
    baselines: Mapping[str, Baseline] | None = None,
    left_out: Collection[str] = (),
) -> list[Panel]:
    """List the panels of an explained observation: its pictures, its boards, its other features.

    :param batch: states that were explained
    :param attributions: (B, ...) attributions by key, in the form of the batch
    :param row: which of the states
    :param look: how it is drawn
    :param heading: heading of each panel
    :param baselines: what the explainer's hidden features become, by key
    :param left_out: keys that the explainer does not explain
    """
    # with matplotlib, which takes long to import
    from sb3_explain.report.panels import BarPanel, BoardPanel, PicturePanel
    from sb3_explain.report.scales import Scale

    shown = {key: part[row].double().cpu().numpy() for key, part in attributions.items()}
    agent = batch.agent
    boards = find_boards(agent)
    panels: list[Panel] = []
    for key in agent.layout.pictures:
        parts = [
            (age, picture, merge_channels(shown[key][channels]))
            for age, picture, channels in _cut_frames(batch, key, row, look)
        ]
        scale = Scale.measure([part for *_, part in parts])
        panels += [
            PicturePanel(
                heading=_lines(heading, _join(call_keys([key], left_out), age)),
                scale=scale,
                picture=picture,
                attribution=part,
                style=look.style,
            )
            for age, picture, part in parts
        ]
    for key, axes in boards.items():
        restore = agent.layout.restore_key
        squares = axes.to_picture(restore(key, batch.by_key[key][row : row + 1]))[0]
        part = axes.to_picture(restore(key, attributions[key][row : row + 1]))[0]
        summed = part.sum(dim=0).double().cpu().numpy()
        panels.append(
            BoardPanel(
                heading=_lines(heading, call_keys([key], left_out)),
                scale=Scale.measure([summed]),
                squares=squares.cpu().numpy(),
                attribution=summed,
            )
        )
    rest = [key for key in shown if key not in boards and key not in agent.layout.pictures]
    if rest:
        sizes = {key: shown[key].size for key in rest}
        bars = np.concatenate([shown[key].reshape(-1) for key in rest])
        values = show_values(agent, {key: batch.by_key[key][row : row + 1] for key in rest})
        panels.append(
            BarPanel(
                heading=_lines(heading, call_keys(rest, left_out)),
                scale=Scale.measure([bars]),
                names=name_features(agent, sizes),
                values=values[0].numpy(),
                attributions=bars,
                replaced=_find_replaced(batch, row, rest, baselines or {}),
            )
        )
    return panels


def call_keys(keys: Sequence[str], left_out: Collection[str]) -> str:
    """Name the keys of a panel, and which of them are not explained.

    :param keys: keys of the observation; one that is no dict has the key ``""``
    :param left_out: keys that the explainer does not explain
    """
    from sb3_explain.report.words import join_words

    known = [key for key in keys if key not in left_out]
    if not known:
        return " ".join(filter(None, (join_words(keys), f"({NOT_EXPLAINED})")))
    others = [key for key in keys if key in left_out]
    return join_words(known) + (f"; {NOT_EXPLAINED}: {join_words(others)}" if others else "")


def _find_replaced(
    batch: StateBatch, row: int, keys: Sequence[str], baselines: Mapping[str, Baseline]
) -> Array | None:
    """Find what the features of some keys become where they are hidden; ``None`` if none do."""
    if not any(key in baselines for key in keys):
        return None
    parts = {}
    for key in keys:
        seen = batch.by_key[key][row : row + 1]
        hidden = baselines[key](seen) if key in baselines else torch.full_like(seen, torch.nan)
        parts[key] = hidden
    return show_values(batch.agent, parts)[0].numpy()


def merge_channels(attribution: Array) -> Array:
    """Return the attribution (H, W) of the largest magnitude among the channels (C, H, W)."""
    strongest = np.abs(attribution).argmax(axis=0)[None]
    merged: Array = np.take_along_axis(attribution, strongest, axis=0)[0]
    return merged


def describe_explained(batch: StateBatch, row: int, between: str = "\n") -> str:
    """Name the target of a state and, after ``between``, say what its action masks allow."""
    return between.join(filter(None, (describe_target(batch, row), describe_masks(batch, row))))


def describe_target(batch: StateBatch, row: int) -> str:
    """Name the target of a state, with its probability if it has one, or its value.

    The value of a Box action is that which the environment receives.
    """
    from sb3_explain.report.captions import format_probability

    agent = batch.agent
    target = int(batch.target[row])
    name = batch.name_targets()[row]
    score = batch.own_target_scores[row]
    if batch.scalar is not None:
        return f"{name} = {float(score[target]):.3g}"
    if isinstance(agent.action_space, spaces.Box):
        own = float(score[target])
        received = float(agent.act_on(batch.own_scores[[row]]).reshape(-1)[target])
        if f"{own:.3g}" == f"{received:.3g}":
            return f"{name} = {own:.3g}"
        return f"{name} = {received:.3g} (the policy's {own:.3g}, explained here)"
    share = float(log_probabilities(agent.action_space, score)[target].exp())
    if agent.view.value_based:  # of which Q is the agent's own
        q = f"Q {float(score[target]):.3g}"
        return f"{name} ({q}, softmax of Q {format_probability(share)})"
    return f"{name} (probability {format_probability(share)})"


def describe_choice(batch: StateBatch) -> str:
    """Say why this part of the action is explained, where none was asked for.

    :param batch: states that were explained
    :return: a sentence; empty for actions of one part, and for a target that was asked for, even if
        it is the one that would have been explained without
    """
    space = batch.agent.action_space
    n_parts = (
        len(group_sizes(space)) if not isinstance(space, spaces.Box) else batch.agent.n_targets
    )
    if batch.asked or n_parts == 1:
        return ""
    if isinstance(space, spaces.Box):
        part = "dimensions of the action, the one farthest from the middle of its range"
    else:
        part = "parts of the action, the one that the agent is surest of"
    return f"Of the {n_parts} {part} is explained; target= names another."


def _cut_frames(
    batch: StateBatch, key: str, row: int, look: Look
) -> list[tuple[str, Array, slice]]:
    """Cut a stack into frames: the age, the picture (h, w, 3) and the channels of each."""
    from sb3_explain.report.overlay import to_rgb

    agent = batch.agent
    observed = batch.by_key[key][row].double().cpu().numpy()
    n_stack = agent.n_stack if len(observed) % agent.n_stack == 0 else 1
    depth = len(observed) // n_stack
    low, high = _find_range(agent, key, observed)
    cut = []
    for number in look.choose_frames(n_stack):
        channels = slice(number * depth, (number + 1) * depth)
        picture = look.rendered
        if picture is None:
            picture = to_rgb(observed[None, channels], low, high)[0]
        age = n_stack - 1 - number
        cut.append((f"frame t - {age}" if age else "", picture, channels))
    return cut


def _find_range(agent: Agent, key: str, observed: Array) -> tuple[float, float]:
    """Find the values that are black and white in a picture."""
    space = spaces_by_key(agent.observation_space)[key]
    low, high = float(np.min(space.low)), float(np.max(space.high))  # type: ignore[attr-defined]
    lowest, highest = float(observed.min()), float(observed.max())
    if not np.isfinite([low, high]).all() or highest - low < DIMMEST * (high - low):
        return lowest, highest
    return low, high


def _join_sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _join(*words: str) -> str:
    return ", ".join(filter(None, words))


def _lines(*lines: str) -> str:
    return "\n".join(filter(None, lines))
