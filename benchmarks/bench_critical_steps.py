"""Critical steps of published agents: how far random actions there lower the return.

``python benchmarks/bench_critical_steps.py [part of a name ...]`` measures some agents again; all
are kept in ``critical_steps.json``. A fit goes on where it was killed, in ``output/``. The folder
of agents stands in the environment variable SB3_EXPLAIN_AGENTS.
"""

import io
import json
import logging
import os
import sys
import warnings
from pathlib import Path

from diagnosed_agents import load_published
from PIL import Image

from benchmarks.draw_how_to import save_small
from sb3_explain import StateMask

HERE = Path(__file__).parent
ROWS = HERE / "critical_steps.json"
TABLE = HERE.parent / "docs" / "tables" / "critical_steps.md"
PICTURE = HERE.parent / "docs" / "images" / "how_to" / "critical_steps.png"
#: short name -> algorithm, environment, and how the mask policy is fitted
AGENTS = {"ppo LunarLander": ("ppo", "LunarLander-v2", {"n_timesteps": 50_000})}
#: the agent whose episode the documentation shows
DRAWN = "ppo LunarLander"
SHARE, N_EPISODES = 0.2, 50
INTERVALS = ("critical", "random", "blocks", "difference", "block_difference", "ratio")


def measure(name: str) -> dict:
    """Fit the mask policy of one agent, and measure its fidelity."""
    algo, env_id, options = AGENTS[name]
    agent = load_published(Path(os.environ["SB3_EXPLAIN_AGENTS"]), algo, env_id)
    folder = HERE / "output" / "critical_steps" / name.replace(" ", "_")
    mask = StateMask(agent).fit(folder=folder, **options)
    if name == DRAWN:
        with Image.open(io.BytesIO(mask.play().plot())) as drawn:
            save_small(drawn.convert("RGB"), PICTURE)
    found = mask.fidelity(share=SHARE, n_episodes=N_EPISODES)
    print(found, flush=True)
    return {
        "agent": name, "share": SHARE, "episodes": N_EPISODES, "steps": mask.training.step,
        "seconds": mask.training.seconds, "masked": mask.training.history[-1]["masked"],
        "own": float(found.returns["own"].mean()),
        **{key: list(getattr(found, key)) for key in INTERVALS},
    }  # fmt: skip


def write_table(rows: list[dict]) -> str:
    """The table of the documentation, in Markdown."""
    head = ["agent", "steps of the fit", "return", "falls at the critical 20 % by",
            "at 20 % at random by", "in random blocks by", "ratio"]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        falls = [
            "{:.1f} ({:.1f} to {:.1f})".format(*row[key][:3])
            for key in ("critical", "random", "blocks", "ratio")
        ]
        texts = [row["agent"], row["steps"], f"{row['own']:.1f}", *falls]
        lines.append(f"| {' | '.join(map(str, texts))} |")
    return "\n".join(lines) + "\n"


def measure_all(parts: list[str]) -> list[dict]:
    """Measure the agents whose names have one of some parts, and keep the others as they were."""
    rows = {row["agent"]: row for row in json.loads(ROWS.read_text())} if ROWS.exists() else {}
    for name in AGENTS:
        if any(part in name for part in parts):
            rows |= {name: measure(name)}
            ROWS.write_text(json.dumps([rows[n] for n in AGENTS if n in rows], indent=1) + "\n")
    found = list(rows.values())
    TABLE.write_text(write_table(found))
    return found


def run(record) -> None:
    for row in measure_all([""]):
        name = row["agent"].replace(" ", "/")
        apart = row["critical"][1] > max(row["random"][2], row["blocks"][2])
        record(f"critical_steps/{name}/ratio", row["ratio"][0], "ratio", ">= 2")
        record(f"critical_steps/{name}/intervals_apart", float(apart), "share", "== 1")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    measure_all(sys.argv[1:] or [""])
