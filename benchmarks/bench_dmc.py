"""DrQ and SGQN on cartpole swing-up of the generalisation benchmark, reduced for two cores.

25,000 timesteps at action repeat 8, batches of 32, 16 filters, hidden layers of 256, features of
50, procedural overlays, 10 episodes in each mode: not the protocol of the paper, which has 500,000
timesteps with full networks. SB3_EXPLAIN_BACKGROUNDS names the folder of the videos. What is
finished stays in benchmarks/output/dmc, so that a run that was stopped goes on.
"""

import os
import shutil
from pathlib import Path

import numpy as np

from sb3_explain import ExplainError
from sb3_explain.envs.dmc.environment import DMCGeneralizationEnv
from sb3_explain.envs.dmc.ids import MODES
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import picture_rows
from sb3_explain.workflows.pixel_training import run_dmc

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
ALGOS, TASK, TIMESTEPS = ("drq", "sgqn"), "cartpole_swingup", 25_000
SETTINGS = {
    "batch_size": 32,
    "mixed_precision": True,
    "policy_kwargs": {"n_filters": 16, "net_arch": [256, 256], "features_dim": 50},
}
DRAWN = ("cartpole_swingup", "walker_walk", "ball_in_cup_catch", "finger_spin")


def run(record) -> None:
    backgrounds = os.environ.get("SB3_EXPLAIN_BACKGROUNDS")
    if backgrounds is None:
        raise ExplainError("name the folder of the videos: SB3_EXPLAIN_BACKGROUNDS")
    save(DOCS / "images" / "dmc_modes.png", modes_figure(backgrounds))
    output = HERE / "output" / "dmc"
    results = run_dmc(
        output, algos=ALGOS, tasks=[TASK], seeds=[0], timesteps=TIMESTEPS, n_episodes=10,
        backgrounds=backgrounds, env_kwargs={"action_repeat": 8}, settings=SETTINGS, part=2500,
    )  # fmt: skip
    for row in results.itertuples():
        record(f"dmc.{row.task}.{row.algo}.{row.mode}", row[5], "return")
    for made in ("curves.png", f"saliency_{TASK}.png"):
        shutil.copy(output / made, DOCS / "images" / f"dmc_{made}")
    shutil.copy(output / "table.md", DOCS / "tables" / "dmc.md")


def modes_figure(backgrounds: str) -> bytes:
    """Four tasks in the five modes (PNG)."""
    rows = {}
    for task in DRAWN:
        rows[task] = []
        for mode in MODES:
            env = DMCGeneralizationEnv(task, mode, background_folder=backgrounds, size=168)
            env.reset(seed=3)
            env.action_space.seed(0)
            for _ in range(5):
                observation, *_ = env.step(env.action_space.sample())
            rows[task].append(np.ascontiguousarray(observation[-3:].transpose(1, 2, 0)))
            env.close()
    return picture_rows(rows, title="train, color_easy, color_hard, video_easy, video_hard")
