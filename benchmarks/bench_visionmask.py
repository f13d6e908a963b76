"""VisionMask on the demo agent: the figures of the README, on episodes that training never saw."""

import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from sb3_explain import VisionMask, collect, evaluate
from sb3_explain.agents.demo import demo_agent
from sb3_explain.evaluation.evaluate import Evaluation

N_STATES, N_EVALUATED, SEED = 10_000, 300, 0
#: compared by intervals: the lower end of the one against the upper end of the other
OTHERS = ("random", "gradient")


def run(record) -> None:
    agent = demo_agent()
    with tempfile.TemporaryDirectory() as folder:
        states = collect(agent, n_states=N_STATES, folder=Path(folder) / "states", seed=SEED)
        train, validation, test = states.split(seed=SEED)
        explainer = VisionMask(agent, seed=SEED)
        explainer.fit(train, validation, seed=SEED)
        record("visionmask.pong.fit_minutes", explainer.fit_seconds / 60, "minutes")
        everything = evaluate(
            agent, test, [explainer], ["accuracy", "accuracy_clear", "mask_area", "sparseness"],
            baseline=explainer.baselines, progress=True,
        )  # fmt: skip
        curves = evaluate(
            agent, test, [explainer], ["insertion", "deletion", "local_lipschitz", "accuracy@0.1"],
            baseline=explainer.baselines, n_evaluated=N_EVALUATED, progress=True,
        )  # fmt: skip
        report(record, everything, curves)
        record_speed(record, explainer, test.observations(np.arange(256)))


def report(record, everything: Evaluation, curves: Evaluation) -> None:
    ours = {
        **everything.rows["visionmask"].intervals,
        **curves.rows["visionmask"].intervals,
    }
    targets = {"accuracy": ">= 0.95", "mask_area": "<= 0.12", "sparseness": ">= 0.65"}
    aims = {"accuracy": ">= 0.97", "sparseness": ">= 0.80"}
    for metric, interval in ours.items():
        name = f"visionmask.pong.{metric}"
        record(name, interval.mean, "share", targets.get(metric))
        record(f"{name}.low", interval.low, "share")
        record(f"{name}.high", interval.high, "share")
        if metric in aims:
            record(f"{name}.aim", interval.mean, "share", aims[metric])
    for other in OTHERS:
        theirs = curves.rows[other].intervals
        gap = ours["insertion"].low - theirs["insertion"].high
        record(f"visionmask.pong.insertion_above_{other}", gap, "share", "> 0")
        gap = theirs["deletion"].low - ours["deletion"].high
        record(f"visionmask.pong.deletion_below_{other}", gap, "share", "> 0")
        for metric, interval in theirs.items():
            record(f"{other}.pong.{metric}", interval.mean, "share")
    for row in ("empty", "constant"):
        accuracy = everything.rows[row].intervals["accuracy"].mean
        record(f"{row}.pong.accuracy", accuracy, "share")


def record_speed(record, explainer: VisionMask, observations: torch.Tensor) -> None:
    record(
        "visionmask.refined_per_second",
        speed(explainer.attribute, observations[:64], 2),
        "frames/s",
    )
    explainer.settings = dataclasses.replace(explainer.settings, refine_steps=0)
    of_network = speed(explainer.attribute_all, observations, 5)
    record("visionmask.maps_per_second", of_network, "frames/s", ">= 300")


def speed(explain, observations: torch.Tensor, repeats: int) -> float:
    """States a second, the best of so many times."""
    explain(observations)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        explain(observations)
        seconds.append(time.perf_counter() - began)
    return len(observations) / min(seconds)
