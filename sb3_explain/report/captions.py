"""The caption under a video frame: the action, its probability, and those of the others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sb3_explain.report.overlay import Frame
from sb3_explain.report.overlay_styles import OverlayStyle, draw_style_key
from sb3_explain.report.words import MISSING

BACKGROUND = (20, 22, 28)
TEXT = (238, 240, 244)
FAINT = (158, 165, 178)
BAR = (104, 114, 134)
TROUGH = (38, 42, 52)
CHOSEN = (252, 165, 10)
#: color of the target that was asked for, which need not be the action taken
EXPLAINED = (106, 190, 255)
#: the number of Atari's actions; where there are more, the most probable ones are shown
MOST_BARS = 18


@dataclasses.dataclass(frozen=True)
class Caption:
    """The content of the caption under one frame.

    :param step: number of the step, as it is shown
    :param action: index of the action taken; ``None`` where no single one is, as of Box actions
    :param probabilities: (K,) in [0, 1]; empty where the agent has none (Box actions)
    :param value: value of the state, if the agent estimates one
    :param note: any short text, for example ``"episode 3"``
    :param forbidden: indices of the actions that action masks forbid here
    """

    step: int
    action: int | None
    probabilities: Sequence[float] | NDArray[Any] = ()
    value: float | None = None
    note: str = ""
    forbidden: Collection[int] = ()


#: number of letters below which a title that was cut tells nothing
READABLE = 6


@cache
def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib, at a height of ``size`` pixels."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def truncate(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Truncate a text, with an ellipsis, if it is wider than ``width`` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def wrap(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Break the lines of a text, so that none is wider than ``width`` pixels.

    Lines are broken between words; a word that is wider than a line is broken within.
    """
    lines = []
    for line in text.split("\n"):
        current = ""
        for word in line.split(" "):
            joined = f"{current} {word}" if current else word
            if current and face.getlength(joined) > width:
                lines.append(current)
                joined = word
            while len(joined) > 1 and face.getlength(joined) > width:
                n = max(
                    1, sum(face.getlength(joined[: i + 1]) <= width for i in range(len(joined)))
                )
                lines.append(joined[:n])
                joined = joined[n:]
            current = joined
        lines.append(current)
    return "\n".join(lines)


class CaptionPanel:
    """Draws captions of one fixed size.

    :param width: width of the panel in pixels, to which the font is scaled
    :param action_names: names of the K actions
    :param measure: name of what the probabilities are
    :param target: name of what is explained, where it is not the action taken
    :param marked: index of the action that is explained then; ``None`` if the target is none
    """

    def __init__(
        self,
        width: int,
        action_names: Sequence[str],
        measure: str = "probability",
        *,
        target: str = "",
        marked: int | None = None,
    ) -> None:
        self.width = width
        self.measure = measure
        self.marked = marked
        self.names = [str(name) for name in action_names]
        self.size = min(26, max(13, round(width / 42)))
        n_bars = min(len(self.names), MOST_BARS)
        self.columns = 1 if n_bars <= 7 else 2
        self.rows = math.ceil(n_bars / self.columns)
        self.row_height = round(self.size * (1.45 if self.rows <= 7 else 1.25))
        # Many actions leave less room for the words on the left.
        self.split = round(width * (0.36 if self.columns == 1 else 0.28))
        #: what says the target, in two lines where a contrast is too long for one
        self.explained = [f"explained: {target}"] if target else []
        room, (first, minus, second) = self.split - self.size * 1.4, target.rpartition(" - ")
        if minus and load_font(self.size, bold=True).getlength(self.explained[0]) > room:
            self.explained = [f"explained: {first}", f"- {second}"]
        words = round(self.size * (7.4 + 1.4 * len(self.explained)))
        height = max(self.rows * self.row_height + self.size, words)
        # Video players draw their buttons over the lower edge: nothing is written there.
        height += round(width * 0.06)
        self.height = height + height % 2
        self.written = self.height - round(width * 0.06)

    def draw(self, caption: Caption) -> Frame:
        """Draw one caption as a picture (height, width, 3) uint8."""
        picture = Image.new("RGB", (self.width, self.height), BACKGROUND)
        pen = ImageDraw.Draw(picture)
        self._words(pen, caption)
        self._bars(pen, caption)
        return np.asarray(picture)

    def _words(self, pen: ImageDraw.ImageDraw, caption: Caption) -> None:
        left, top, room = self.size * 0.8, self.size * 0.55, self.split - self.size * 1.4
        facts = [f"step {caption.step:,}"]
        # of Box actions, whose dimensions are all taken, the explained one is shown
        shown = self.marked if caption.action is None else caption.action
        if len(caption.probabilities) and shown is not None:
            facts.insert(0, f"{self.measure} {format_probability(caption.probabilities[shown])}")
        if caption.value is not None and math.isfinite(caption.value):
            facts.append(f"value {caption.value:+.2f}")
        small = load_font(round(self.size * 0.9))
        taken = "" if caption.action is None else self.names[caption.action]
        lines = [(taken, CHOSEN)]
        if self.explained:
            said = taken and f"taken: {taken}"
            lines = [*((words, EXPLAINED) for words in self.explained), (said, CHOSEN)]
        for place, (words, color) in enumerate(line for line in lines if line[0]):
            large = round(self.size * 1.35)
            while large > self.size and load_font(large, bold=True).getlength(words) > room:
                large -= 1
            face = load_font(large, bold=True)
            baseline = (left, top + self.size * (1.3 if place == 0 else 0.85))
            pen.text(baseline, truncate(words, face, room), font=face, fill=color, anchor="ls")
            top += self.size * (1.85 if place == 0 else 1.4)
        for i, fact in enumerate([*facts, caption.note]):
            pen.text(
                (left, top), truncate(fact, small, room), font=small, fill=FAINT if i else TEXT
            )
            top += self.size * 1.22

    def _shown(self, caption: Caption) -> list[int]:
        """List all actions in order or, if they are too many, the most probable ones first."""
        actions = list(range(len(caption.probabilities)))
        if len(actions) <= MOST_BARS:
            return actions
        shown = sorted(actions, key=lambda i: -float(caption.probabilities[i]))[:MOST_BARS]
        if self.marked is not None and self.marked not in shown:
            shown[-1] = self.marked
        return shown

    def _bars(self, pen: ImageDraw.ImageDraw, caption: Caption) -> None:
        if not len(caption.probabilities):
            return
        gap = self.size * 0.9
        column = (self.width - self.split - gap * self.columns) / self.columns
        face = load_font(round(self.size * (0.8 if self.columns == 1 else 0.7)))
        number = face.getlength("100 %") + self.size * 0.3
        label = min(max(map(face.getlength, self.names)) + self.size * 0.5, column * 0.55)
        top = (self.written - self.rows * self.row_height) / 2
        for place, i in enumerate(self._shown(caption)):
            share = float(caption.probabilities[i])
            x = self.split + (place // self.rows) * (column + gap)
            y = top + (place % self.rows) * self.row_height
            chosen = i == caption.action
            middle = y + self.row_height / 2
            ink = CHOSEN if chosen else TEXT if share >= 0.1 else FAINT
            marked = bool(self.explained) and i == self.marked
            ink = EXPLAINED if marked else ink
            forbidden = i in caption.forbidden
            said = "forbidden" if forbidden else format_probability(share)
            name = truncate(self.names[i], face, label - self.size * 0.4)
            pen.text((x, middle), name, font=face, fill=ink, anchor="lm")
            pen.text((x + column, middle), said, font=face, fill=ink, anchor="rm")
            if forbidden:  # struck out, and without a bar
                stroke = (x, middle, x + face.getlength(name), middle)
                pen.line(stroke, fill=ink, width=max(1, round(self.size / 14)))
                continue
            start, stop = x + label, x + column - number
            thick = self.row_height * 0.24
            if stop <= start:
                continue
            pen.rectangle((start, middle - thick, stop, middle + thick), fill=TROUGH)
            end = start + (stop - start) * min(max(share, 0), 1)
            if end - start >= 1:
                pen.rectangle(
                    (start, middle - thick, end, middle + thick), fill=CHOSEN if chosen else BAR
                )
            if marked:
                pen.rectangle(
                    (start, middle - thick, stop, middle + thick),
                    outline=EXPLAINED,
                    width=max(2, round(self.size / 10)),
                )


def draw_heading(
    width: int, titles: Sequence[str], *, signed: bool = False, style: OverlayStyle = "heat"
) -> Frame:
    """Draw a strip of titles above pictures of equal width, with the scale of the map.

    :param width: width of the strip in pixels
    :param titles: title of each picture; the last one is of the map
    :param signed: whether the map has a sign
    :param style: how the map is drawn
    :return: (height, width, 3) uint8
    """
    size = min(19, max(12, round(width / 58)))
    height = size * 2
    picture = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    face, middle, share = load_font(size), height / 2, width / len(titles)
    key = draw_style_key(style, signed, BACKGROUND)
    low, high = ("against", "for") if signed else ("low", "high")
    ramp_left = width - size * 0.8 - face.getlength(high) - size * 0.4 - size * 4
    key_left = ramp_left - size * 0.4 - face.getlength(low)
    for i, title in enumerate(titles):
        stop = key_left if i == len(titles) - 1 else share * (i + 1)
        left = share * i + size * 0.8
        words = truncate(title, face, stop - left - size)
        if len(words) < READABLE < len(title):
            continue  # the scale alone says more than a few letters
        pen.text((left, middle), words, font=face, fill=FAINT, anchor="lm")
    pen.text((key_left, middle), low, font=face, fill=FAINT, anchor="lm")
    pen.text((width - size * 0.8, middle), high, font=face, fill=FAINT, anchor="rm")
    strip = Image.fromarray(key).resize((size * 4, round(size * 0.8)))
    picture.paste(strip, (round(ramp_left), round(middle - size * 0.4)))
    return np.asarray(picture)


def format_probability(share: float) -> str:
    """Format a probability for people; 0 % and 100 % are shown for these values alone."""
    if not math.isfinite(share):
        return MISSING
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1 - 1e-6:
        return ">99 %"
    return f"{share * 100:.0f} %"
