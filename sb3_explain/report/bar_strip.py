"""Bars of features beside the frames of a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sb3_explain.report.captions import BACKGROUND, FAINT, TEXT, load_font, truncate
from sb3_explain.report.overlay import Frame
from sb3_explain.report.panels import format_value
from sb3_explain.report.scales import Scale, format_tick

#: height of a bar in pixels, at least
LEAST_HEIGHT = 16
#: share of the width that names and values take, and a value that is as long as any
LABELS, LONGEST_VALUE = 0.52, " = -0.00123"


class BarStrip:
    """Draws the attributions of features as pictures of one size, on one scale.

    :param names: names of the M features
    :param attributions: (T, M) attributions of all frames, which decide what is shown
    :param height: height of the pictures in pixels
    :param width: width of the pictures in pixels; as their height, and 320 at least, when not given
    :param target: name of what is explained, where it is not the action taken
    """

    def __init__(
        self,
        names: Sequence[str],
        attributions: NDArray[Any],
        height: int,
        width: int | None = None,
        *,
        target: str = "",
    ) -> None:
        self.target = target
        self.names = list(names)
        self.scale = Scale.measure([attributions])
        self.size = (width or max(320, height), height)
        n_rows = max(1, min(len(self.names), height // LEAST_HEIGHT - 1))
        strongest = np.argsort(-np.abs(attributions).mean(axis=0), kind="stable")[:n_rows]
        #: indices of the features that are shown, in their order
        self.shown = np.sort(strongest)
        self.row_height = height / (len(self.shown) + 1)
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
        zero = (split + width) / 2 if self.scale.signed else split
        reach = (width - zero) * 0.94
        scaled = self.scale.apply(attributions)
        colors = self.scale.color().to_rgba(attributions, bytes=True)
        for place, i in enumerate(self.shown):
            middle = (place + 0.5) * row_height
            label = self.label(i, values[i])
            pen.text((split - 6, middle), label, font=face, fill=TEXT, anchor="rm")
            start, end = sorted((zero, zero + reach * scaled[i]))
            thick = row_height * 0.32
            pen.rectangle(
                (start, middle - thick, end, middle + thick), fill=tuple(map(int, colors[i][:3]))
            )
        pen.line((zero, 0, zero, height - row_height), fill=FAINT)
        ends = f"{format_tick(-self.scale.peak)} to " if self.scale.signed else "0 to "
        key = f", {ends}{format_tick(self.scale.peak)}"
        what = f"attribution of {self.target}" if self.target else "attribution"
        key = truncate(what, face, width - 12 - face.getlength(key)) + key
        left = max(6, min(split, width - 6 - face.getlength(key)))
        pen.text((left, height - row_height / 2), key, font=face, fill=FAINT, anchor="lm")
        return np.asarray(picture)
