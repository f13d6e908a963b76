"""What the two tasks ask for: where an episode begins, what is rewarded, and what is a success.

Numbers are those of the code behind table 6 of Bertoin et al. (2022). Positions are in meters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]

#: names of an action's dimensions
AXES = {"reach": ("x", "y"), "peg_in_box": ("x", "y", "z")}
#: number of decisions in an episode, and of substeps in a decision
N_DECISIONS, N_SUBSTEPS = 50, 20
#: how far an action of 1 moves the mocap body
ACTION_SCALE = 0.05
#: bounds of the gripper, beyond which it moves inwards only
LOW, HIGH = np.array([1.40, 0.15, 0.6]), np.array([1.70, 0.45, 1.0])
#: within this distance in the plane the goal is reached, and the peg is above its place
NEAR = 0.05
#: the box inside its walls: half of its length and width, and its height
BOX = np.array([0.062, 0.0725, 0.08])


def sample_goal(rng: np.random.Generator) -> Point:
    """Draw the center of the disc, or of the box's bottom, on the table."""
    return np.array([1.605 + rng.uniform(-0.1, 0.1), 0.3 + rng.uniform(-0.2, 0.2), 0.58])


def sample_gripper(rng: np.random.Generator, task: str) -> Point:
    """Draw where the gripper begins: low above the table, or higher where the peg hangs on it."""
    x, y = 1.256 + rng.uniform(-0.05, 0.1), 0.3 + rng.uniform(-0.1, 0.1)
    height = 0.626 if task == "reach" else 0.796 + rng.uniform(-0.05, 0.05)
    return np.array([x, y, height])


def limit_action(action: NDArray[np.float32], gripper: Point) -> Point:
    """Bound an action, and take out of it what leads a gripper further out of the workspace.

    :param action: (2,) or (3,) action, along the axes
    :param gripper: (3,) position of the gripper
    :return: (3,) action in [-1, 1]
    """
    limited = np.zeros(3)
    limited[: len(action)] = np.clip(action, -1, 1)
    limited = np.where(gripper > HIGH, np.minimum(limited, 0), limited)
    return np.where(gripper < LOW, np.maximum(limited, 0), limited)


def reward_reach(gripper: Point, goal: Point, action: NDArray[np.float32]) -> float:
    """1 within 5 cm of the goal in the plane, else -3 d - 0.5 |a|^2, rounded to four digits."""
    distance = measure(gripper, goal, 2)
    if distance < NEAR:
        return 1.0
    return round(-3 * distance - 0.5 * _square(action), 4)


def reward_peg(peg: Point, goal: Point, action: NDArray[np.float32]) -> float:
    """-|a|^2 - 4 d_xy, and 10 - 20 d_xyz more where d_xy is at most 5 cm."""
    distance = measure(peg, goal, 2)
    reward = -_square(action) - 4 * distance
    if distance <= NEAR:
        reward += 10 - 20 * measure(peg, goal, 3)
    return reward


def is_in_box(peg: Point, goal: Point) -> bool:
    """Whether the peg's center is between the walls of the box and below their rim.

    :param peg: (3,) position of the peg's center
    :param goal: (3,) position of the center of the box's bottom
    """
    offset = peg - goal
    return bool((np.abs(offset[:2]) < BOX[:2]).all() and 0 < offset[2] < BOX[2])


def measure(first: Point, second: Point, n_axes: int) -> float:
    """Distance along the first axes of two positions, which are rounded to four digits."""
    return float(np.linalg.norm(np.round(first[:n_axes], 4) - np.round(second[:n_axes], 4)))


def _square(action: NDArray[np.float32]) -> float:
    """|a|^2 of an action bounded to [-1, 1]."""
    return float(np.square(np.clip(action, -1, 1), dtype=np.float64).sum())
