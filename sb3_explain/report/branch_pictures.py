"""Branches of an episode side by side: pictures of a video, and a sheet."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from sb3_explain.report.captions import BACKGROUND, CHOSEN, FAINT, TEXT, load_font, truncate
from sb3_explain.report.overlay import Frame, enlarge
from sb3_explain.report.video import choose_factor

#: height in pixels of the games, and of the line above them; pixels between games
HEIGHT, LINE, GAP = 320, 30, 8


@dataclasses.dataclass(frozen=True)
class BranchPictures:
    """Draws branches side by side.

    :param titles: title of each branch
    :param frames: pictures (h, w, 3) uint8 of each branch by step; the same steps up to the one
        where they part
    :param step: the step where they part
    """

    titles: Sequence[str]
    frames: Sequence[Mapping[int, Frame]]
    step: int

    @property
    def steps(self) -> range:
        """The steps that are drawn; a branch that has ended stands still."""
        first = min(self.frames[0])
        return range(first, max(max(frames) for frames in self.frames) + 1)

    def draw_all(self) -> Iterator[Frame]:
        """Draw each step, and the one where branches part for half a second more."""
        for step in self.steps:
            for _ in range(8 if step == self.step else 1):
                yield self.draw(step)

    def draw(self, step: int) -> Frame:
        """Draw the branches at a step.

        :param step: number of the step in the episode
        :return: (height, width, 3) uint8, both even
        """
        parts: list[Frame] = []
        for title, frames in zip(self.titles, self.frames, strict=True):
            last = max(frames)
            frame = frames[min(step, last)]
            game = enlarge(frame, choose_factor(frame.shape[0], HEIGHT))
            has_ended = step > last
            head = self._draw_head(title, game.shape[1], step, has_ended)
            part = np.concatenate([head, game])
            parts += [part, np.full((len(part), GAP, 3), BACKGROUND, np.uint8)]
        picture = np.concatenate(parts[:-1], axis=1)
        odd = [size % 2 for size in picture.shape[:2]]
        return np.pad(picture, ((0, odd[0]), (0, odd[1]), (0, 0)))

    def draw_sheet(self, rows: int) -> bytes:
        """Draw some steps one below the other: first the one where branches part.

        :param rows: number of steps
        :return: PNG
        """
        shown = np.unique(np.linspace(self.step, self.steps[-1], rows).astype(int))
        data = io.BytesIO()
        Image.fromarray(np.concatenate([self.draw(step) for step in shown])).save(data, "PNG")
        return data.getvalue()

    def _draw_head(self, title: str, width: int, step: int, has_ended: bool) -> Frame:
        strip = Image.new("RGB", (width, LINE), BACKGROUND)
        pen = ImageDraw.Draw(strip)
        face = load_font(15)
        state = "ended" if has_ended else f"step {step}"
        right = width - face.getlength(state) - 8
        color = CHOSEN if step == self.step else FAINT
        pen.text((right, LINE / 2), state, font=face, fill=color, anchor="lm")
        if step >= self.step:  # before it they are one
            words = truncate(title, face, right - 20)
            pen.text((8, LINE / 2), words, font=face, fill=TEXT, anchor="lm")
        return np.asarray(strip)
