"""The state generator on the demo agent: the paper's table 1 and 2, agreement, and the search.

Three generators with equal training (a plain autoencoder, L_p alone, all terms) of 10,000 states.
What is finished stays in benchmarks/output (or in the folder that SB3_EXPLAIN_GENERATOR names), so
that a run that was stopped goes on. The pictures are written to docs/images.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sb3_explain import StateGenerator, collect, probe
from sb3_explain.agents.demo import demo_agent
from sb3_explain.agents.layers import find_image_layers
from sb3_explain.agents.targets.energies import list_targets
from sb3_explain.probing import VARIANTS, activation_maximization, goggles, novelty
from sb3_explain.probing.activation import REGULARIZERS
from sb3_explain.probing.distance import PAPER, find_nearest
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import picture_rows
from sb3_explain.report.probing_figures import distance_figure, filters_figure, novelty_figure
from sb3_explain.workflows.probe_pictures import draw_frames, draw_weights

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "docs" / "images"
N_STATES, EPSILON, N_EPISODES, SEED = 10_000, 0.1, 20, 0
TRAINING = {"epochs": 32, "batch_size": 16, "patience": 32}
N_SAMPLES, STEPS, SHOWN = 64, 200, 8
NAMES = {"vae": "plain autoencoder", "lp_only": "L_p alone", "full": "all terms"}


def run(record) -> None:
    output = Path(os.environ.get("SB3_EXPLAIN_GENERATOR", HERE / "output" / "generator"))
    agent = demo_agent()
    states = collect(
        agent,
        n_states=N_STATES,
        folder=output / "states",
        seed=SEED,
        behavior="epsilon",
        epsilon=EPSILON,
    )
    train, validation, test = states.split(seed=SEED)
    generators = {
        name: fitted(agent, settings, train, validation, output / name)
        for name, settings in VARIANTS.items()
    }
    for name, generator in generators.items():
        record(f"generator.{name}.fit_minutes", generator.training.seconds / 60, "min", "<= 40")
        target = ">= 0.9" if name == "full" else None
        record(f"generator.{name}.agreement", generator.agreement(test), "share", target)
    table_1(record, agent, generators)
    full = generators["full"]
    drawn_states = full.sample(1000, SEED)
    new = novelty(full, drawn_states, train)
    for threshold, share in new.items():
        record(f"generator.novelty.over_{round(100 * threshold)}_percent", share, "share")
    save(IMAGES / "novelty.png", novelty_figure({"ours (Pong)": new, "paper (driving)": PAPER}))
    targets(record, agent, full, train, test)
    pictures(agent, generators, train, test)


def fitted(agent, settings, train, validation, folder) -> StateGenerator:
    if (folder / "generator.json").exists():
        return StateGenerator.load(folder, agent)
    generator = StateGenerator(agent, seed=SEED, **settings)
    generator.fit(train, validation, folder=folder / "training", **TRAINING)
    generator.save(folder)
    return generator


def table_1(record, agent, generators) -> None:
    played = goggles(generators, N_EPISODES, seed=SEED)
    print(played.table().to_string(index=False))
    for name, interval in played.intervals.items():
        for bound in ("mean", "low", "high"):
            record(f"generator.return.{name}.{bound}", getattr(interval, bound), "return")
    record("generator.full.recovered", played.recovered("full"), "share", ">= 0.7")
    means = [played.intervals[name].mean for name in ("vae", "lp_only", "full")]
    record("generator.paper_order", float(means == sorted(means)), "0 or 1", ">= 1")


def targets(record, agent, generator, train, test) -> None:
    """Targets do what they say, by states that are plausible; pixels alone lead far away."""
    scores = torch.from_numpy(train.column("scores"))
    log_p = scores.log_softmax(dim=1)
    usual = {"T-": train.column("values"), "T+": train.column("values")}
    usual["T+-"] = (log_p.amax(dim=1) - log_p.amin(dim=1)).numpy()
    some = test.batch(agent, test.sample(N_SAMPLES, SEED)).observations
    distances = {"unseen states": rms(generator, some, train)}
    for target in list_targets(agent):
        begin = time.perf_counter()
        found = probe(generator, target, N_SAMPLES, steps=STEPS, states=train, seed=SEED)
        if target == "T+-":
            record("generator.search_seconds", time.perf_counter() - begin, "s", "<= 60")
        name, weights = target.replace(":", "_"), found.counts / N_SAMPLES
        kind, _, action = target.partition(":")
        if kind == "action":
            desired = found.scores.argmax(dim=1).numpy() == agent.find_target(action)
            share = float((desired * weights).sum())
            record(f"generator.{name}.greedy", share, "share", ">= 0.95")
        elif target in usual:
            log_q = found.scores.log_softmax(dim=1)
            gaps = (log_q.amax(dim=1) - log_q.amin(dim=1)).numpy()
            mean = float(((gaps if target == "T+-" else found.values.numpy()) * weights).sum())
            rank = float((usual[target] < mean).mean())
            desired = "< 0.05" if target == "T-" else "> 0.95"
            record(f"generator.{name}.percentile", rank, "share of the data below", desired)
        distances[target] = np.sqrt(found.nearest.distance)
        ratio = distances[target].mean() / distances["unseen states"].mean()
        record(f"generator.{name}.distance", ratio, "times that of unseen states", "<= 3")
    for regularizer in REGULARIZERS:
        images = activation_maximization(agent, "action:RIGHT", SHOWN, regularizer=regularizer)
        name = f"pixels, {regularizer}"
        distances[name] = rms(generator, images, train)
        ratio = distances[name].mean() / distances["unseen states"].mean()
        record(f"generator.pixels_{regularizer}.distance", ratio, "times that of unseen states")
    save(IMAGES / "distances.png", distance_figure(distances))


def rms(generator, states, train):
    """(n,) root mean squared distances to the nearest training states."""
    return np.sqrt(find_nearest(generator, states, train).distance)


def pictures(agent, generators, train, test) -> None:
    """Reconstructions, the weighting (figure 3), the failing baseline (4), the filters (5)."""
    batch = test.batch(agent, test.spread(SHOWN))
    rows = {"state": draw_frames(agent, batch.by_key[""], "")}
    for name, generator in generators.items():
        rows[NAMES[name]] = draw_frames(agent, generator.reconstruct_batch(batch)[""], "")
    weights = generators["full"].weights(batch)[""][:, -1]
    rows["weighting"] = draw_weights(weights)
    save(IMAGES / "reconstructions.png", picture_rows(rows))
    target = "action:RIGHT"
    rows = {
        name: draw_frames(
            agent, activation_maximization(agent, target, SHOWN, regularizer=name), ""
        )
        for name in REGULARIZERS
    }
    found = probe(generators["full"], target, N_SAMPLES, steps=STEPS, states=train)
    shown = found.states[:SHOWN]
    rows["generator"] = draw_frames(agent, shown, "")
    n = min(map(len, rows.values()))
    save(
        IMAGES / "activation_maximization.png",
        picture_rows({name: row[:n] for name, row in rows.items()}, title="RIGHT"),
    )
    first = agent.view.policy.get_submodule(find_image_layers(agent, nn.Conv2d)[""][0])
    save(IMAGES / "filters.png", filters_figure(first.weight.detach().numpy(), agent.n_stack))
