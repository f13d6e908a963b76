"""Perturbation explainers against the agent's bare passes, plain loops and other libraries.

All on the demo agent, 84x84x4, with two threads. What is compared runs in turns, and the least
disturbed run of each counts: what else the machine does only adds time.
"""

import contextlib
import functools
import gc
import io
import math
import resource
import subprocess
import sys
import tempfile
import time
import warnings

import captum.attr
import numpy as np
import psutil
import quantus
import torch
from lime.lime_image import LimeImageExplainer
from scipy.ndimage import gaussian_filter
from torch import nn

from sb3_explain import EXPLAINERS, collect
from sb3_explain.agents.demo import demo_agent
from sb3_explain.evaluation.metrics.local_lipschitz import local_lipschitz
from sb3_explain.evaluation.metrics.sparseness import sparseness
from sb3_explain.states.batch import StateBatch

#: explainer -> the share of its time that the agent's own passes should take
EFFICIENCY = {"greydanus": 0.8, "sarfa": 0.8, "occlusion": 0.8, "rise": 0.8, "lime": 0.6}
N_STATES, REPEATS = 8, 5
#: rows of a bare pass, of which the best counts
BATCHES = (32, 64, 96, 128, 256)
#: where memory is measured: states, and settings that keep it short without making passes smaller
MANY = 2048
FEWER = {"rise": {"n_masks": 256}, "lime": {"n_samples": 256}}


def seconds(job) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def in_turns(*jobs, repeats=REPEATS) -> list[float]:
    """Least seconds of each job."""
    for job in jobs:
        job()
    return [
        min(times)
        for times in zip(*([seconds(j) for j in jobs] for _ in range(repeats)), strict=True)
    ]


def run(record) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    warnings.filterwarnings("ignore")
    try:
        agent = demo_agent()
        with tempfile.TemporaryDirectory() as folder:
            states = collect(
                agent, n_states=400, folder=folder, max_per_episode=50, render=False, progress=False
            )
            seen = states.observations(np.arange(len(states))).float()
        few = seen[:: len(seen) // N_STATES][:N_STATES].clone()
        efficiency(record, agent, seen, few)
        together(record, agent, few)
        loops(record, agent, few)
        against_captum(record, agent, few)
        against_lime(record, agent, few)
        against_quantus(record, agent, seen[::4].clone())
        for name in EFFICIENCY:
            reported = subprocess.run(
                [sys.executable, __file__, name], check=True, capture_output=True, text=True
            )
            record(f"explainers.{name}.peak_gigabytes", float(reported.stdout), "GB", "<= 2")
    finally:
        torch.set_num_threads(threads)


def efficiency(record, agent, seen, few) -> None:
    """Seconds of as many bare passes as the explainer needs, over its own seconds.

    Both take equally long stretches, so that neither finds a quiet moment more easily.
    """

    def bare(n_rows, size):
        with torch.no_grad():
            for begin in range(0, n_rows, size):
                agent.scores(seen[: min(size, n_rows - begin)])

    for name, target in EFFICIENCY.items():
        explainer = EXPLAINERS[name](agent)
        states = few[:2] if explainer.forwards_per_state > 500 else few
        n_rows = explainer.forwards_per_state * len(states)
        ours, *own = in_turns(
            functools.partial(explainer.attribute, states, 0),
            *[functools.partial(bare, n_rows, size) for size in BATCHES],
        )
        record(f"explainers.{name}.efficiency", min(own) / ours, "share", f">= {target}")
        record(f"explainers.{name}.seconds", ours / len(states), "s/state")


def together(record, agent, few) -> None:
    greydanus, sarfa = EXPLAINERS["greydanus"](agent), EXPLAINERS["sarfa"](agent)

    def both():
        batch = StateBatch(agent, few, 0)
        return greydanus.attribute_batch(batch), sarfa.attribute_batch(batch)

    two, one = in_turns(both, lambda: greydanus.attribute_batch(StateBatch(agent, few, 0)))
    record("explainers.greydanus_and_sarfa_over_one", two / one, "ratio", "<= 1.1")


def loops(record, agent, few) -> None:
    """One state and one place at a time, with all that can be made beforehand made beforehand."""
    y, x = np.mgrid[:84, :84]
    masks = [
        torch.from_numpy(np.exp(-((y - i) ** 2 + (x - j) ** 2) / 50)).float()
        for i in range(0, 84, 5)
        for j in range(0, 84, 5)
    ]
    few = few[:2]

    def places(state):
        blurred = torch.from_numpy(gaussian_filter(state.numpy(), (0, 3, 3)))
        for M in masks:
            yield agent.scores((state * (1 - M) + blurred * M)[None])[0]

    def greydanus():
        for state in few:
            z = agent.scores(state[None])[0]
            torch.stack([0.5 * (z - moved).square().sum() for moved in places(state)])

    def sarfa():
        for state in few:
            p = agent.scores(state[None])[0].softmax(0)
            for moved in places(state):
                q = moved.softmax(0)
                dp, rest, other = p[0] - q[0], p[1:] / p[1:].sum(), q[1:] / q[1:].sum()
                K = 1 / (1 + (rest * (rest / other).log()).sum())
                torch.where(dp > 0, 2 * K * dp / (K + dp), 0.0)

    for name, loop in (("greydanus", greydanus), ("sarfa", sarfa)):
        explainer = EXPLAINERS[name](agent)
        with torch.no_grad():
            ours, plain = in_turns(functools.partial(explainer.attribute, few, 0), loop, repeats=3)
        record(f"explainers.{name}.times_the_loop", plain / ours, "ratio", ">= 5")


def against_captum(record, agent, few) -> None:
    captums = captum.attr.Occlusion(agent.scores)

    def theirs(size, at_once):
        with torch.no_grad():
            for states in torch.split(few, size):
                captums.attribute(
                    states, (4, 5, 5), (4, 5, 5), target=0, perturbations_per_eval=at_once
                )

    settings = [(1, 32), (1, 64), (1, 97), (1, 145), (8, 4), (8, 8), (8, 16), (8, 32)]
    explainer = EXPLAINERS["occlusion"](agent)
    # which setting is its best; then both have equally many tries
    times = in_turns(*[functools.partial(theirs, *setting) for setting in settings], repeats=2)
    best = settings[int(np.argmin(times))]
    ours, captum_seconds = in_turns(
        functools.partial(explainer.attribute, few, 0), functools.partial(theirs, *best)
    )
    record("explainers.occlusion.times_captum", captum_seconds / ours, "ratio", ">= 1.3")


def against_lime(record, agent, few) -> None:
    """The same superpixels and as many samples; one action explained, where ours explains all."""
    explainer, theirs = EXPLAINERS["lime"](agent), LimeImageExplainer(random_state=0)

    def predict(pictures):
        rows = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        return agent.probabilities(rows).numpy()

    def package(batch_size):
        for state in few[:2]:
            theirs.explain_instance(
                state.numpy().transpose(1, 2, 0),
                predict,
                labels=(0,),
                top_labels=None,
                hide_color=0,
                num_samples=1000,
                batch_size=batch_size,
                segmentation_fn=lambda _, state=state: explainer.find_superpixels("", state)[
                    0
                ].numpy(),
            )

    # the package shows a bar for each state
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        ours, *others = in_turns(
            functools.partial(explainer.attribute, few[:2], 0),
            *[functools.partial(package, size) for size in (10, 64, 128)],
            repeats=3,
        )
    record("explainers.lime.times_the_package", min(others) / ours, "ratio", ">= 1.5")


def against_quantus(record, agent, seen) -> None:
    """The same figures, of the gradient's maps; Quantus at the better of two batch sizes."""
    explainer = EXPLAINERS["gradient"](agent)
    batch = StateBatch(agent, seen)
    target, attributions = batch.target, explainer.attribute_batch(batch)[""]

    def explain(model, inputs, targets):
        raw = torch.from_numpy(inputs).float() * 255
        return explainer.attribute(raw, torch.from_numpy(targets)).numpy()

    def theirs(metric, size):
        return metric(
            model=nn.Identity(),
            x_batch=seen.numpy() / 255,
            y_batch=target.numpy(),
            a_batch=attributions.numpy().copy(),
            explain_func=explain,
            channel_first=True,
            batch_size=size,
        )

    lipschitz = quantus.LocalLipschitzEstimate(
        nr_samples=5, perturb_std=0.1, abs=False, normalise=False, disable_warnings=True
    )
    # normalised state by state, which Quantus does only in batches of one state
    sparse = quantus.Sparseness(abs=True, normalise=True, disable_warnings=True)
    comparisons = {
        "local_lipschitz": (
            lambda: local_lipschitz(
                StateBatch(agent, seen, target), explainer, attributions, np.random.default_rng(0)
            ),
            [functools.partial(theirs, lipschitz, size) for size in (1, 64)],
        ),
        "sparseness": (lambda: sparseness(attributions), [functools.partial(theirs, sparse, 1)]),
    }
    for name, (own, others) in comparisons.items():
        ours, *rest = in_turns(own, *others, repeats=2)
        record(f"metrics.{name}.times_quantus", min(rest) / ours, "ratio", ">= 5")


def peak_gigabytes(name: str) -> float:
    """Memory that maps of many states take beyond the states; the maps are counted."""
    torch.set_num_threads(2)
    agent = demo_agent()
    explainer = EXPLAINERS[name](agent, **FEWER.get(name, {}))
    generator = torch.Generator().manual_seed(0)
    seen = torch.empty(MANY, 4, 84, 84)
    for state in seen:
        state.copy_(torch.randint(0, 256, state.shape, generator=generator))
    explainer.attribute(seen[:2], 0)
    gc.collect()
    before = psutil.Process().memory_info().rss
    explainer.attribute(seen, 0)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert math.isfinite(peak) and peak > before
    return (peak - before) / 1e9


if __name__ == "__main__":
    print(peak_gigabytes(sys.argv[1]))
