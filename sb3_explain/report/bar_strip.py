"""Bars of features beside the frames of a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sb3_explain.report.captions import BACKGROUND, FAINT, TEXT, load_font, truncate
from sb3_explain.report.overlay import Frame, draw_color_key
from sb3_explain.report.panels import format_value
from sb3_explain.report.scales import Scale, format_tick

#: height of a bar in pixels, at least
LEAST_HEIGHT = 16
#: color of the lines from the names to the bars
GUIDE = (46, 50, 59)
#: share of the width that names and values take, and a value that is as long as any
LABELS, LONGEST_VALUE = 0.55, " = -0.00123"


class BarStrip:
    """Draws the attributions of features as pictures of one size, on one scale.

    :param names: names of the M features
    :param attributions: (T, M) attributions of all frames, which decide what is shown
    :param height: height of the pictures in pixels
    :param width: width of the pictures in pixels; a quarter more than their height, and 320 at
        least, when not given
    :param target: name of what is explained, where it is not the action taken
    :param title: title over the bars; no line of its own when not given
    """

    def __init__(
        self,
        names: Sequence[str],
        attributions: NDArray[Any],
        height: int,
        width: int | None = None,
        *,
        target: str = "",
        title: str = "",
    ) -> None:
        self.target, self.title = target, title
        self.names = list(names)
        self.scale = Scale.measure([attributions])
        self.size = (width or max(320, round(1.25 * height)), height)
        n_rows = max(1, min(len(self.names), height // LEAST_HEIGHT - 1 - bool(title)))
        strongest = np.argsort(-np.abs(attributions).mean(axis=0), kind="stable")[:n_rows]
        #: indices of the features that are shown, in their order
        self.shown = np.sort(strongest)
        self.row_height = height / (len(self.shown) + 1 + bool(title))
        self.face = self._choose_font()

    def _choose_font(self) -> ImageFont.FreeTypeFont:
        """Choose the largest font in which names and values fit, or the smallest one."""
        room = LABELS * self.size[0] - 12
        largest = max(9, min(16, round(self.row_height * 0.6)))
        for size in range(largest, 10, -1):
            face = load_font(size)
            if all(face.getlength(self.names[i] + LONGEST_VALUE) <= room for i in self.shown):
                return face
        return load_font(min(largest, 10))

    def label(self, feature: int, value: float) -> str:
        """Name a feature with its value; a name that is too long loses its end, the value nothing.

        :param feature: index of the feature
        :param value: what the feature is
        """
        said = f" = {format_value(value)}"
        room = LABELS * self.size[0] - 12 - self.face.getlength(said)
        return truncate(self.names[feature], self.face, room) + said

    def draw(self, values: NDArray[Any], attributions: NDArray[Any]) -> Frame:
        """Draw one frame's features.

        :param values: (M,) what the features are
        :param attributions: (M,) their attributions
        :return: (height, width, 3) uint8
        """
        width, height = self.size
        picture = Image.new("RGB", self.size, BACKGROUND)
        pen = ImageDraw.Draw(picture)
        row_height, face = self.row_height, self.face
        split = LABELS * width
        low, high = self.scale.room
        reach = (width - split) * 0.97 / (high - low)  # pixels of an attribution of 1
        zero = split - low * reach
        colors = self.scale.color().to_rgba(attributions, bytes=True)
        top = row_height if self.title else 0.0
        if self.title:
            said = truncate(self.title, face, width - 12)
            pen.text((width / 2, row_height / 2), said, font=face, fill=TEXT, anchor="mm")
        for place, i in enumerate(self.shown):
            middle = top + (place + 0.5) * row_height
            label = self.label(i, values[i])
            pen.text((split - 6, middle), label, font=face, fill=TEXT, anchor="rm")
            start, end = sorted((zero, zero + reach * float(attributions[i])))
            pen.line((split, middle, start, middle), fill=GUIDE)  # from the name to its bar
            thick = row_height * 0.32
            pen.rectangle(
                (start, middle - thick, end, middle + thick), fill=tuple(map(int, colors[i][:3]))
            )
        pen.line((zero, top, zero, height - row_height), fill=FAINT)
        self._draw_legend(picture, pen, height - row_height / 2)
        return np.asarray(picture)

    def _draw_legend(self, picture: Image.Image, pen: ImageDraw.ImageDraw, middle: float) -> None:
        """Draw the colors with their ends, and what they mean."""
        width, face = self.size[0], self.face
        scale = self.scale
        low, high = format_tick(-scale.peak if scale.signed else 0.0), format_tick(scale.peak)
        meaning = f"attribution of {self.target}" if self.target else "attribution"
        if scale.signed:
            meaning = f"blue lowers, orange raises {self.target or 'it'}"
        ramp = round(face.size * 4), max(4, round(face.size * 0.7))
        ends = face.getlength(low) + ramp[0] + face.getlength(high) + 10
        meaning = truncate(meaning, face, width - 20 - ends - 10)
        left = width - 8 - ends - 10 - face.getlength(meaning)
        pen.text((left, middle), meaning, font=face, fill=FAINT, anchor="lm")
        left = width - 8 - ends
        pen.text((left, middle), low, font=face, fill=FAINT, anchor="lm")
        left += face.getlength(low) + 5
        key = Image.fromarray(draw_color_key(scale.signed, BACKGROUND)).resize(ramp)
        picture.paste(key, (round(left), round(middle - ramp[1] / 2)))
        pen.text((left + ramp[0] + 5, middle), high, font=face, fill=FAINT, anchor="lm")
