"""Semantic frames of the driving study: colours, drawing, and what a frame shows.

A frame is seen from above. The road goes up, the ego car stands fixed near the lower edge and
drives upwards. A cell is half a metre.
"""

import numpy as np
from numpy.typing import NDArray

#: cells along each side of a frame
SIZE = 48
OFF_ROAD, ROAD, PAINT, CAR, RED, GREEN, PEDESTRIAN, EGO = range(8)
#: RGB of each label; paint is crosswalks, stop lines and edge marks
PALETTE = np.array(
    [
        (25, 25, 25), (110, 110, 110), (230, 230, 230), (40, 80, 255),
        (255, 0, 0), (0, 200, 0), (255, 255, 0), (0, 255, 255),
    ],
    dtype=np.uint8,
)  # fmt: skip
#: columns of the road and of the ego car, which other cars in its lane have too
ROAD_COLUMNS = (17, 31)
CAR_COLUMNS = (21, 27)
#: the row behind the front bumper, and a car's length
FRONT_ROW, CAR_LENGTH = 38, 8
#: each side of a pedestrian, and the sides of a light's head, across and along the road
PEDESTRIAN_SIZE, LIGHT_SIZE = 4, (5, 4)
#: A car at full speed stops within 6 cells after a step of 3 cells in which nothing is done yet;
#: as many cells as half of that are kept as a margin.
BRAKING_REGION = 12

Labels = NDArray[np.uint8]


class Canvas:
    """The labels of one frame, drawn in cells ahead of the front bumper.

    :ivar labels: (SIZE, SIZE)
    """

    def __init__(self) -> None:
        self.labels: Labels = np.full((SIZE, SIZE), OFF_ROAD, np.uint8)
        self.labels[:, slice(*ROAD_COLUMNS)] = ROAD

    def fill(self, label: int, left: float, ahead: float, width: int, length: int) -> None:
        """Fill a rectangle, as far as the frame shows it.

        :param label: one of the eight
        :param left: its left column
        :param ahead: from the front bumper to its near edge, in cells; negative beside or behind
        :param width: columns
        :param length: rows
        """
        column, bottom = round(left), FRONT_ROW - round(ahead)
        rows = slice(max(bottom - length, 0), max(bottom, 0))
        self.labels[rows, max(column, 0) : max(column + width, 0)] = label

    def frame(self) -> NDArray[np.uint8]:
        """(SIZE, SIZE, 3) in RGB."""
        return PALETTE[self.labels]


def labels_of(frames: NDArray[np.generic]) -> Labels:
    """The label of each pixel: that of the nearest colour, so that generated frames have labels.

    :param frames: (..., SIZE, SIZE, 3) RGB, 0 to 255
    :return: (..., SIZE, SIZE)
    """
    # ||x - c||^2 = x.x - 2 x.c + c.c, of which the first is the same for all colours.
    colors = PALETTE.astype(np.float32)
    distances = (colors**2).sum(1) - 2 * frames.astype(np.float32) @ colors.T
    return distances.argmin(-1).astype(np.uint8)


def newest_frames(observations: NDArray[np.generic]) -> NDArray[np.generic]:
    """(B, SIZE, SIZE, 3) newest of the stacked frames (B, 3 F, SIZE, SIZE)."""
    return observations[:, -3:].transpose(0, 2, 3, 1)


def _pixels_near(labels: Labels, label: int) -> NDArray[np.int64]:
    """How many pixels of the roadway in the braking region have a label."""
    near = labels[..., FRONT_ROW - BRAKING_REGION : FRONT_ROW, slice(*ROAD_COLUMNS)]
    return (near == label).sum((-2, -1))


def pedestrian_danger(labels: Labels) -> NDArray[np.bool_]:
    """Whether a pedestrian is on the roadway within the braking region in front of the ego car.

    The braking region are the ``BRAKING_REGION`` rows ahead of the front bumper over the whole
    width of the roadway. A quarter of a pedestrian's pixels must be there.

    :param labels: (..., SIZE, SIZE) of newest frames
    """
    return _pixels_near(labels, PEDESTRIAN) >= PEDESTRIAN_SIZE**2 / 4


def car_danger(labels: Labels) -> NDArray[np.bool_]:
    """Whether a quarter of another car is within the braking region, see above."""
    width = CAR_COLUMNS[1] - CAR_COLUMNS[0]
    return _pixels_near(labels, CAR) >= width * CAR_LENGTH / 4


def red_light_ahead(labels: Labels) -> NDArray[np.bool_]:
    """Whether a quarter of a red light's head is in sight ahead of the front bumper."""
    red = (labels[..., :FRONT_ROW, :] == RED).sum((-2, -1))
    return red >= LIGHT_SIZE[0] * LIGHT_SIZE[1] / 4
