"""Which axes of an observation are the rows and columns of a picture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PictureAxes:
    """The axes of a picture in an observation; all axes but these two are channels.

    >>> from sb3_explain.envs.picture_axes import PictureAxes
    >>> PictureAxes(3, rows=0, columns=1).to_picture(torch.zeros(5, 24, 32, 3)).shape
    torch.Size([5, 3, 24, 32])

    :param n_axes: number of axes of the observation
    :param rows: axis of the rows, counted from 0
    :param columns: axis of the columns
    """

    n_axes: int
    rows: int
    columns: int

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the observation in the order channels, rows, columns."""
        channels = [axis for axis in range(self.n_axes) if axis not in (self.rows, self.columns)]
        return (*channels, self.rows, self.columns)

    def to_picture(self, observed: Tensor) -> Tensor:
        """Turn what is observed into pictures.

        :param observed: (B, ...) observations, or with more axes in front
        :return: (B, C, H, W) pictures, which share memory with the observations where they can
        """
        ahead = observed.dim() - self.n_axes
        if self.order == (0, 1, 2):
            return observed
        moved = observed.permute(*range(ahead), *(ahead + axis for axis in self.order))
        return moved.reshape(*moved.shape[:ahead], -1, *moved.shape[-2:])

    def from_picture(self, pictures: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Turn pictures back into what is observed, the opposite of :meth:`to_picture`.

        :param pictures: (B, C, H, W) pictures, or with more axes in front
        :param shape: shape of one observation
        :return: (B, ...) in the shape of the observation
        """
        if self.order == (0, 1, 2):
            return pictures
        ahead = pictures.dim() - 3
        moved = pictures.reshape(*pictures.shape[:ahead], *(shape[axis] for axis in self.order))
        back = [self.order.index(axis) for axis in range(self.n_axes)]
        # contiguous, as the policy's own observations are
        return moved.permute(*range(ahead), *(ahead + axis for axis in back)).contiguous()


def guess_axes(shape: tuple[int, ...]) -> PictureAxes | None:
    """Guess the axes of a picture whose channels are the first axis, or the last if it is smaller.

    :param shape: (H, W), (C, H, W) or (H, W, C), or these with an axis of frames in front
    :return: the axes; ``None`` for any other number of axes
    """
    if not 2 <= len(shape) <= 4:
        return None
    last = len(shape) - 1
    channels_last = len(shape) > 2 and shape[last] < min(shape[last - 2 : last])
    return PictureAxes(len(shape), last - 1 - channels_last, last - channels_last)
