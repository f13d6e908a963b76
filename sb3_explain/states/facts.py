"""What people are shown of states first: how many, of what, and some of them as pictures."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sb3_explain.common.notebook import write_facts

Array = NDArray[Any]
#: number of states that a notebook shows, and their height in pixels
N_SHOWN, HEIGHT = 8, 96


class StateFacts(ABC):
    """Describes a data set of states in words and pictures."""

    @property
    @abstractmethod
    def episode(self) -> Array:
        """(n,) number of each state's episode."""

    @abstractmethod
    def frames_by_key(self, positions: Any = slice(None)) -> dict[str, Tensor]:
        """Return the newest frames (B, ...) of states by key."""

    @abstractmethod
    def rendered(self, positions: Any) -> Array | None:
        """Return RGB frames (B, h, w, 3) as a person sees them; ``None`` without any."""

    @abstractmethod
    def spread(self, n: int) -> NDArray[np.int64]:
        """Choose ``n`` positions evenly from all."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of states."""

    def list_facts(self) -> dict[str, str]:
        """List what a person wants to know of the states first, by name."""
        shown = self.frames_by_key(self.spread(1))
        frames = [
            f"{key or 'frame'} {tuple(each.shape[1:])} {str(each.dtype).removeprefix('torch.')}"
            for key, each in shown.items()
        ]
        return {
            "states": f"{len(self):,}",
            "episodes": f"{len(np.unique(self.episode)):,}",
            "observations": "; ".join(frames),
            "rendered": "no" if self.rendered(self.spread(1)) is None else "yes",
        }

    def __repr__(self) -> str:
        """Say how many states of how many episodes there are."""
        return f"StateDataset of {len(self):,} states of {len(np.unique(self.episode)):,} episodes"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return write_facts("StateDataset", self.list_facts(), png=self._repr_png_())

    def _repr_png_(self) -> bytes | None:
        """Return some states side by side, as rendered or observed; ``None`` without pictures."""
        positions = self.spread(N_SHOWN)
        pictures = self.rendered(positions)
        if pictures is None:
            pictures = _find_pictures(self.frames_by_key(positions))
        if pictures is None:
            return None
        width = max(1, round(HEIGHT * pictures.shape[2] / pictures.shape[1]))
        each = [Image.fromarray(picture).resize((width, HEIGHT)) for picture in pictures]
        strip = Image.new("RGB", ((width + 4) * len(each) - 4, HEIGHT), "white")
        for number, picture in enumerate(each):
            strip.paste(picture, ((width + 4) * number, 0))
        buffer = io.BytesIO()
        strip.save(buffer, format="PNG")
        return buffer.getvalue()


def _find_pictures(by_key: dict[str, Tensor]) -> Array | None:
    """Find pictures (B, h, w, 3) among frames: three axes of uint8, channels first or last."""
    for frames in by_key.values():
        array = frames.numpy()
        if array.ndim == 4 and array.dtype == np.uint8:
            if array.shape[3] not in (1, 3):
                array = array.transpose(0, 2, 3, 1)
            if array.shape[3] != 3:
                array = array.mean(axis=3, keepdims=True).repeat(3, axis=3)
            return np.ascontiguousarray(array.astype(np.uint8))
    return None
