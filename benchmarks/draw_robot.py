"""The pictures of the robot study, docs/images/robot_*.png: ``python -m benchmarks.draw_robot``.

Each has a task in its four modes, at three decisions of an episode of the scripted controller:
large, and below as the agents see it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.robot import steer
from sb3_explain.envs.robot.environment import RobotEnv
from sb3_explain.envs.robot.ids import MODES, TASKS
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import picture_rows

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SEED = 3
#: decisions after which a state is shown
SHOWN = {"reach": (0, 5, 20), "peg_in_box": (0, 10, 40)}


def draw_task(task: str) -> bytes:
    """The states of an episode, side by side in every mode (PNG)."""
    rows: dict[str, list[NDArray[np.uint8]]] = {}
    for size, pixels in ((336, ""), (84, ", 84 x 84")):
        for mode in MODES:
            env = RobotEnv(task, mode, size=size)
            frames = [env.reset(seed=SEED)[0]]
            while len(frames) <= max(SHOWN[task]):
                frames.append(env.step(steer(env))[0])
            env.close()
            for i in SHOWN[task]:
                picture = frames[i].transpose(1, 2, 0)
                rows.setdefault(f"decision {i}{pixels}", []).append(picture)
    return picture_rows(rows, title=f"{task}: {', '.join(MODES)} (from left to right)")


def main() -> None:
    for task in TASKS:
        save(IMAGES / f"robot_{task}.png", draw_task(task))


if __name__ == "__main__":
    main()
