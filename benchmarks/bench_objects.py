"""Objects read from RAM beside OCAtari's, and explainers beside what the objects of Pong do.

OCAtari has an environment of its own: its Python stands in ``SB3_EXPLAIN_OCATARI``.
"""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np

from sb3_explain import (
    collect_objects,
    decode_objects,
    demo_agent,
    make_explainer,
    object_agreement,
    object_attention,
)  # fmt: skip
from sb3_explain.envs.object_layouts import LAYOUTS
from sb3_explain.report import save
from sb3_explain.workflows.objects import draw_objects

ROWS = Path(__file__).with_name("objects.json")
AGREEMENT = Path(__file__).with_name("object_agreement.json")
DOCS = Path(__file__).parent.parent / "docs"
#: explainers of the table, the last of which knows nothing
EXPLAINERS = (
    "gradient", "input_x_gradient", "guided_backprop", "smoothgrad", "grad_cam",
    "guided_grad_cam", "occlusion", "greydanus", "sarfa", "random",
)  # fmt: skip
CATEGORIES = ("Ball", "Enemy", "Player")
N_FRAMES = 1000
#: what OCAtari's Python runs: a game under random actions that are held, as one line of JSON
RECORD = """
import json, sys
import numpy as np
from ocatari.core import OCAtari
game, n = sys.argv[1], int(sys.argv[2])
env = OCAtari(f"{game}NoFrameskip-v4", mode="ram", hud=False, obs_mode="ori")
rng, frames, step, action, hold = np.random.default_rng(7), [], 0, 0, 0
env.reset(seed=7)
while len(frames) < n:
    if not hold:
        action, hold = int(rng.integers(env.action_space.n)), int(rng.integers(2, 30))
    hold, step = hold - 1, step + 1
    over = env.step(action)[2:4]
    if any(over):
        env.reset()
    elif step % 4 == 0:
        boxes = [[o.category, int(o.x), int(o.y), int(o.w), int(o.h)]
                 for o in env.objects if o.category != "NoObject"]
        frames.append([env.get_ram().tolist(), boxes])
print("\\n" + json.dumps(frames))
"""


def count_equal(ram: list[int], boxes: list[list], game: str) -> tuple[int, int]:
    """Number of objects that either has, and of those that both have, to a pixel."""
    rest = [tuple(box) for box in boxes]
    found = decode_objects(f"{game}-v4", ram)
    n_equal = 0
    for each in found:
        ours = (each.x, each.y, each.width, each.height)
        for name, *theirs in rest:
            near = max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1
            if name == each.category and near:
                rest.remove((name, *theirs))
                n_equal += 1
                break
    return len(found) + len(rest), n_equal


def measure(game: str) -> dict:
    """Compare the boxes of one game."""
    command = [os.environ["SB3_EXPLAIN_OCATARI"], "-c", RECORD, game, str(N_FRAMES)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    frames = json.loads(said.strip().splitlines()[-1])
    counts = [count_equal(ram, boxes, game) for ram, boxes in frames]
    objects = Counter(name for _, boxes in frames for name, *_ in boxes)
    return {
        "game": game, "frames": len(frames), "equal": sum(n == m for n, m in counts),
        "objects": sum(n for n, _ in counts), "equal_objects": sum(m for _, m in counts),
        "categories": dict(sorted(objects.items())),
    }  # fmt: skip


def show_interval(interval: list[float]) -> str:
    """Write a correlation with its interval."""
    mean, low, high, _ = interval
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def measure_agreement() -> list[dict]:
    """Measure the explainers of the demo agent, and write the table and the picture."""
    agent = demo_agent()
    states = collect_objects(agent, n_states=24, every=31)
    explainers = {name: make_explainer(name, agent) for name in EXPLAINERS}
    agreement = object_agreement(explainers, states, n_steps=60)
    rows = []
    for name, explainer in explainers.items():
        ratios = object_attention(explainer, states).ratios
        rows.append(
            {"explainer": name, **{kind: list(found) for kind, found in agreement[name].items()},
             "ratios": {each: float(np.nanmean(ratio)) for each, ratio in ratios.items()}}
        )  # fmt: skip
    rows.sort(key=lambda row: -row["picture"][0])
    AGREEMENT.write_text(json.dumps(rows, indent=1) + "\n")
    lines = ["| explainer | agreement, picture | agreement, game | Ball | Enemy | Player |",
             "|" + "---|" * 6]  # fmt: skip
    for row in rows:
        ratios = " | ".join(f"{row['ratios'][name]:.1f}" for name in CATEGORIES)
        both = " | ".join(show_interval(row[kind]) for kind in ("picture", "game"))
        lines.append(f"| {row['explainer']} | {both} | {ratios} |")
    (DOCS / "tables" / "objects.md").write_text("\n".join(lines) + "\n")
    save(DOCS / "images" / "objects.png", draw_objects(states, explainers["gradient"]))
    return rows


def run(record) -> None:
    for row in measure_agreement():
        record(f"objects/Pong/{row['explainer']}/agreement_picture", row["picture"][0], "rho")
        record(f"objects/Pong/{row['explainer']}/agreement_game", row["game"][0], "rho")
    rows = [measure(game) for game in LAYOUTS]
    ROWS.write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        share = row["equal"] / row["frames"]
        record(f"objects/{row['game']}/equal_to_ocatari", share, "share of frames", ">= 0.999")
