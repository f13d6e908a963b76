"""Published agents as trees of at most 64 leaves: return, fidelity, and the exported C program.

``python benchmarks/bench_tree.py [part of a name ...]`` measures some agents again; all of them are
kept in ``tree.json``. The folder of agents stands in the environment variable SB3_EXPLAIN_AGENTS.
"""

import ctypes
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from diagnosed_agents import load_published
from gymnasium import spaces
from PIL import Image

from benchmarks.draw_how_to import save_small
from sb3_explain import Agent, PolicyTree, distill
from sb3_explain.workflows.tree.distill import FRESH

ROWS = Path(__file__).with_name("tree.json")
TABLE = Path(__file__).parent.parent / "docs" / "tables" / "tree.md"
#: the agents whose trees the documentation shows, and where
IMAGES = Path(__file__).parent.parent / "docs" / "images"
DRAWN = {
    "ppo MountainCar": IMAGES / "tree.png",
    "ppo LunarLander, 4 sums": IMAGES / "tree_sums.png",
}
#: what LunarLander's own heuristic asks for, beside the features of the observation
CORRECTIONS = ("angle to correct", "climb to correct")


def correct_lander(observations: np.ndarray) -> np.ndarray:
    """(B, 10) features of LunarLander: the observation, and how far angle and climb are off.

    Both are those of the function ``heuristic`` of Gymnasium's LunarLander.
    """
    x, y, x_speed, y_speed, angle, spin, *legs = observations.T
    stands = sum(legs) > 0
    target = np.clip(0.5 * x + x_speed, -0.4, 0.4)
    turn = np.where(stands, 0.0, 0.5 * (target - angle) - spin)
    climb = np.where(stands, 0.0, 0.5 * (0.55 * np.abs(x) - y)) - 0.5 * y_speed
    return np.column_stack([observations, turn, climb])


#: how LunarLander is distilled
LANDER = {"max_leaves": 64, "weights": "probabilities", "n_rounds": 20}
#: short name -> algorithm, environment, and how the agent is distilled
AGENTS = {
    "dqn CartPole": ("dqn", "CartPole-v1", {"max_leaves": 32}),
    "dqn CartPole, 1 sum": ("dqn", "CartPole-v1", {"max_leaves": 8, "n_sums": 1}),
    "trpo Acrobot": ("trpo", "Acrobot-v1", {"max_leaves": 16}),
    "trpo Acrobot, 3 sums": ("trpo", "Acrobot-v1", {"max_leaves": 16, "n_sums": 3}),
    "ppo MountainCar": ("ppo", "MountainCar-v0", {"max_leaves": 8}),
    "ppo MountainCar, 3 sums": ("ppo", "MountainCar-v0", {"max_leaves": 8, "n_sums": 3}),
    "ppo LunarLander": ("ppo", "LunarLander-v2", LANDER | {"n_rounds": 40}),
    "ppo LunarLander, two features more": (
        "ppo", "LunarLander-v2", LANDER | {"features": correct_lander},
    ),
    "ppo LunarLander, 4 sums": (
        "ppo", "LunarLander-v2", LANDER | {"max_leaves": 12, "n_sums": 4},
    ),
    "ppo LunarLander, 6 sums": ("ppo", "LunarLander-v2", LANDER | {"n_sums": 6}),
    "ppo BipedalWalker": ("ppo", "BipedalWalker-v3", {"max_leaves": 64, "n_rounds": 5}),
}  # fmt: skip
#: number of fresh episodes, and of those that the program in C plays
N_EVALUATED, N_PLAYED = 50, 20


def compile_tree(tree: PolicyTree, folder: Path):
    """The exported C program as a function of an observation."""
    (folder / "tree.c").write_text(tree.to_c())
    flags = ["-std=c89", "-O2", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "tree.c", "-o", "tree.so"], cwd=folder, check=True)
    act = ctypes.CDLL(str(folder / "tree.so")).act
    n, n_parts = tree.n_inputs, tree.nodes.action.shape[1]

    def call(observation):
        given = (ctypes.c_double * n)(*observation)
        if tree.is_discrete:
            return act(given)
        made = (ctypes.c_double * n_parts)()
        act(given, made)
        return np.array(made, np.float32)

    return call


def play(act, agent: Agent, n: int) -> np.ndarray:
    """Returns of a function of bare observations, in the episodes that the tree was measured in."""
    env, returns = agent.recipe.make(), []
    for episode in range(n):
        source = np.random.SeedSequence([FRESH, episode])
        observation, _ = env.reset(seed=int(source.generate_state(1)[0]))
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return np.array(returns)


def measure(name: str) -> dict:
    """Distill one agent, and play its tree in C."""
    algo, env_id, options = AGENTS[name]
    agent = load_published(Path(os.environ["SB3_EXPLAIN_AGENTS"]), algo, env_id)
    features = options.get("features")
    names = agent.feature_names[""] + (CORRECTIONS if features else ())
    started = time.process_time()
    tree = distill(agent, n_evaluated=N_EVALUATED, feature_names=names, progress=False,
                   **options)  # fmt: skip
    seconds = time.process_time() - started
    if name in DRAWN:
        with Image.open(io.BytesIO(tree.plot())) as drawn:
            save_small(drawn.convert("RGB"), DRAWN[name])
    read = features or (lambda observations: observations)

    def show(act):
        return lambda observation: act(read(np.asarray(observation)[None])[0])

    with tempfile.TemporaryDirectory() as folder:
        in_c = play(show(compile_tree(tree, Path(folder))), agent, N_PLAYED)
    in_python = play(show(tree.predict), agent, N_PLAYED)
    found = tree.measures
    intervals = ("returns", "agent_returns", "difference", "fidelity", "own_fidelity")
    return {
        "agent": name, "leaves": tree.nodes.n_leaves, "questions": int(tree.nodes.levels.max()),
        **{each: list(getattr(found, each)) for each in intervals},
        "constant_fidelity": found.constant_fidelity,
        "continuous": isinstance(agent.action_space, spaces.Box),
        "same_in_c": bool(np.array_equal(in_c, in_python)),
        "c_returns": float(in_c.mean()), "weights": tree.weighting, "seconds": seconds,
    }  # fmt: skip


def find_share(row: dict) -> float:
    """Share of the agent's return that the tree earns; of costs, the agent's over the tree's."""
    ours, theirs = row["returns"][0], row["agent_returns"][0]
    return ours / theirs if theirs > 0 else theirs / ours


def write_table(rows: list[dict]) -> str:
    """The table of the documentation, in Markdown."""
    head = ["agent", "leaves", "questions, at most", "return of the tree", "of the agent", "share",
            "fidelity", "C program"]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        returns = [
            f"{mean:.1f} ({low:.1f} to {high:.1f})"
            for mean, low, high, _ in (row["returns"], row["agent_returns"])
        ]
        mean, low, high, _ = row["fidelity"]
        fidelity = f"{mean:.0%} ({low:.0%} to {high:.0%})"
        if row["continuous"]:
            fidelity = f"R² {mean:.2f} ({low:.2f} to {high:.2f})"
        row_texts = [row["agent"], row["leaves"], row["questions"], *returns,
                 f"{find_share(row):.0%}", fidelity,
                 "the same returns" if row["same_in_c"] else "**others**"]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, row_texts))} |")
    return "\n".join(lines) + "\n"


def read_rows() -> dict[str, dict]:
    """Rows by agent, as they were measured last."""
    return {row["agent"]: row for row in json.loads(ROWS.read_text())} if ROWS.exists() else {}


def measure_all(parts: list[str]) -> list[dict]:
    """Measure the agents whose names have one of some parts, and keep the others as they were."""
    for name in AGENTS:
        if any(part in name for part in parts):
            rows = read_rows() | {name: measure(name)}
            ROWS.write_text(json.dumps([rows[n] for n in AGENTS if n in rows], indent=1) + "\n")
            print(write_table([rows[name]]), flush=True)
    found = list(read_rows().values())
    TABLE.write_text(write_table(found))
    return found


def run(record) -> None:
    for row in measure_all([""]):
        name = row["agent"].replace(", ", "/").replace(" ", "/")
        target = None if row["continuous"] else ">= 0.95"
        record(f"tree/{name}/share_of_return", find_share(row), "share", target)
        record(f"tree/{name}/fidelity", row["fidelity"][0], "share")
        record(f"tree/{name}/leaves", row["leaves"], "leaves", "<= 64")
        record(f"tree/{name}/same_in_c", float(row["same_in_c"]), "share", "== 1")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    measure_all(sys.argv[1:] or [""])
