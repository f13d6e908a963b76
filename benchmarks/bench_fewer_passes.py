"""Greydanus and SARFA with a share of their grid points, against the exact maps and their passes.

RISE with centered masks that stop at a reliability, against the paper's map of all masks.
Occlusion of the agent in bfloat16, against the same in float32.

On the demo agent, and on Super Mario 1-1 if SB3_EXPLAIN_AGENTS names the folder of its data. With
one thread; time is the processor's, in turns with as many bare passes as the exact method needs.
"""

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from sb3_explain import EXPLAINERS, collect, evaluate
from sb3_explain.agents.demo import demo_agent

SHARE, N_STATES, CHUNK, REPEATS = 0.25, 8, 128, 2
RELIABILITY, N_RISE_STATES = 0.7, 4
METRICS = {"insertion": {"steps": 25}, "deletion": {"steps": 25}}
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(record) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    try:
        agent = demo_agent()
        with tempfile.TemporaryDirectory() as folder:
            states = collect(
                agent, n_states=400, folder=folder, max_per_episode=50, render=False, progress=False
            )
            measure(record, "demo", agent, states)
        data = Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1"
        if not (data / "policy.safetensors").exists():
            print("super mario: not run (SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1)")
            return
        sys.path.append(str(EXAMPLES))
        import super_mario

        measure(record, "super_mario", *super_mario.load(data))
    finally:
        torch.set_num_threads(threads)


def measure(record, agent_name, agent, states) -> None:
    few = states.subset(np.linspace(0, len(states) - 1, N_STATES).astype(int))
    seen = torch.as_tensor(few.observations(np.arange(N_STATES))).float()

    def bare(n_rows):
        with torch.no_grad():
            for begin in range(0, n_rows, CHUNK):
                agent.scores(rows[: min(CHUNK, n_rows - begin)])

    rows = seen.repeat(-(-CHUNK // N_STATES), 1, 1, 1)[:CHUNK].contiguous()
    for name in ("greydanus", "sarfa"):
        exact, fewer = EXPLAINERS[name](agent), EXPLAINERS[name](agent, share=SHARE)
        n_rows = exact.forwards_per_state * N_STATES
        times = [(seconds(bare, n_rows), seconds(fewer.attribute, seen)) for _ in range(REPEATS)]
        bare_seconds, fewer_seconds = (min(each) for each in zip(*times, strict=True))
        attributions = zip(exact.attribute(seen)[:, 0], fewer.attribute(seen)[:, 0], strict=True)
        agreement = np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in attributions])
        row = f"fewer_passes.{agent_name}.{name}"
        share = fewer.forwards_per_state / exact.forwards_per_state
        record(f"{row}.passes", share, "share of the exact", "<= 0.4")
        record(f"{row}.time", fewer_seconds / bare_seconds, "of bare exact", "<= 0.4")
        record(f"{row}.spearman", agreement, "mean", ">= 0.95")
        record_change(record, row, agent, few, {"exact": exact, "fewer": fewer})
    measure_rise(record, f"fewer_passes.{agent_name}.rise", agent, states)
    measure_half_precision(record, f"fewer_passes.{agent_name}.bf16", agent, few, seen)


def measure_rise(record, row, agent, states) -> None:
    few = states.subset(np.linspace(0, len(states) - 1, N_RISE_STATES).astype(int))
    exact = EXPLAINERS["rise"](agent)
    fewer = EXPLAINERS["rise"](agent, variant="centered", reliability=RELIABILITY)
    before = agent.forwards
    fewer.attribute(few.observations(np.arange(N_RISE_STATES)))
    used = (agent.forwards - before) / (exact.forwards_per_state * N_RISE_STATES)
    record(f"{row}.masks", used, "share of 4,000", "<= 0.35")
    record_change(record, row, agent, few, {"exact": exact, "fewer": fewer})


def measure_half_precision(record, row, agent, states, seen) -> None:
    half = agent.with_precision("bf16")
    exact, fewer = EXPLAINERS["occlusion"](agent), EXPLAINERS["occlusion"](half)
    times = [
        (seconds(exact.attribute, seen), seconds(fewer.attribute, seen)) for _ in range(REPEATS)
    ]
    full_seconds, half_seconds = (min(each) for each in zip(*times, strict=True))
    record(f"{row}.time", half_seconds / full_seconds, "of float32", "<= 0.7")
    measured = evaluate(half, states, [fewer], ["sparseness"], n_resamples=1, warn=False)
    (agreement,) = measured.states["rank_correlation_float32"].values()
    record(f"{row}.spearman", agreement, "mean", ">= 0.98")


def record_change(record, row, agent, states, explainers) -> None:
    measured = evaluate(agent, states, explainers, METRICS, n_resamples=1, warn=False).values
    for metric in METRICS:
        change = np.mean(measured["fewer"][metric] - measured["exact"][metric])
        record(f"{row}.{metric}", abs(change), "off the exact", "<= 0.01")


def seconds(job, *arguments) -> float:
    begin = time.process_time()
    job(*arguments)
    return time.process_time() - begin
