"""A weakness is planted and found: drivers who have never seen a careless pedestrian.

    python examples/driving/study.py -o driving-output

Rupprecht et al., section 4.6. One A2C driver is trained among reasonable pedestrians, another among
distracted ones. For each a generator of its own states is fitted and searched for states without a
way out (T-). Where the first driver fears no pedestrian, he runs them over among distracted ones.
Each step is kept in the output folder, and the same command goes on from there.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import frames as draw
import imageio.v3 as imageio
import numpy as np
import pandas as pd
import torch
from deployment import COUNTS, constant, drive, greedy, mean_return, per_kilometre
from environment import MODES
from train import TIMESTEPS, trained_driver

from sb3_explain import (
    Agent,
    Interval,
    StateDataset,
    StateGenerator,
    collect,
    confidence_interval,
    make_clusters,
    novelty,
    probe,
)

DANGERS = {
    "pedestrian danger": draw.pedestrian_danger,
    "car danger": draw.car_danger,
    "red light": draw.red_light_ahead,
}
#: columns and enlargement of a contact sheet, and its frames' colours: without and with a
#: pedestrian in danger
SHEET_COLUMNS, ZOOM, SINGLE, DANGER = 8, 3, (70, 70, 70), (255, 255, 0)


class Size(NamedTuple):
    """How much is done.

    :param timesteps: of training, by mode
    :param states: collected
    :param epochs: of the generator, at most
    :param samples: that are searched for
    :param search: steps of the search
    :param episodes: that each driver drives in each mode
    """

    timesteps: dict[str, int]
    states: int
    epochs: int
    samples: int
    search: int
    episodes: int


FULL = Size(TIMESTEPS, states=10_000, epochs=24, samples=64, search=200, episodes=200)
SMALL = Size(dict.fromkeys(MODES, 1280), states=400, epochs=1, samples=16, search=5, episodes=4)


def fitted_generator(
    agent: Agent, states: StateDataset, folder: Path, epochs: int, seed: int
) -> StateGenerator:
    """The generator in ``folder``, fitted and saved there if it is not yet."""
    if (folder / "generator.json").exists():
        return StateGenerator.load(folder, agent)
    train, validation, _ = states.split(seed=seed)
    generator = StateGenerator(agent, seed=seed)
    generator.fit(train, validation, folder=folder / "training", epochs=epochs)
    generator.save(folder)
    return generator


def dangers_in(observations: torch.Tensor) -> pd.DataFrame:
    """Which dangers the newest frame of each state shows: a column of truth values each."""
    labels = draw.labels_of(draw.newest_frames(observations.cpu().numpy()))
    return pd.DataFrame({name: danger(labels) for name, danger in DANGERS.items()})


def probed(agent: Agent, folder: Path, size: Size, seed: int) -> dict[str, Interval]:
    """What is found of one driver; the contact sheet is written to ``t_minus.png``."""
    states = collect(
        agent, n_states=size.states, folder=folder / "states", behavior="epsilon", epsilon=0.1,
        seed=seed, render=False,
    )  # fmt: skip
    generator = fitted_generator(agent, states, folder / "generator", size.epochs, seed)
    train, _, test = states.split(seed=seed)
    found = probe(
        generator, "T-", n_samples=size.samples, steps=size.search, seed=seed, states=train
    )
    imageio.imwrite(folder / "t_minus.png", contact_sheet(found.states))

    figures = {}
    own = test.observations(np.arange(len(test)))
    redrawn = dangers_in(generator.reconstruct(own))
    # A state stands for all samples that came out as it; each of them counts.
    samples = np.arange(len(found.counts)).repeat(found.counts)
    shown = {
        "T- samples": (dangers_in(found.states).iloc[samples], samples),
        "random samples": (dangers_in(generator.sample(256, seed)), np.arange(256)),
        "own states": (dangers_in(own), make_clusters(test.episode)),
        "own states, reconstructed": (redrawn, make_clusters(test.episode)),
    }
    for where, (dangers, clusters) in shown.items():
        for name in DANGERS:
            figures[f"{name}, % of {where}"] = percent(dangers[name], clusters)
    agreement = 100 * generator.agreement(test)
    figures["same action on reconstructions, %"] = certain(agreement, len(test))
    for threshold, new in novelty(generator, found.states, train).items():
        name = f"T- states that differ from the nearest one in > {threshold:.0%} of pixels, %"
        figures[name] = certain(100 * new, len(found.counts))
    return figures


def values_in_danger(agent: Agent, states: StateDataset) -> dict[str, Interval]:
    """What the driver thinks of states among distracted pedestrians: V(s), by danger."""
    observations = states.observations(np.arange(len(states)))
    dangers = dangers_in(observations)
    with torch.no_grad():
        values = torch.cat([agent.values(part) for part in agent.tensor(observations).split(256)])
    clusters, figures = make_clusters(states.episode), {}
    for name, these in {**dangers, "no danger": ~dangers.any(axis=1)}.items():
        figures[f"V(s) among distracted pedestrians, {name}"] = confidence_interval(
            values.cpu().numpy()[these], clusters[these]
        )
    return figures


def driven(driver, size: Size) -> dict[str, Interval]:
    """What a driver does among both kinds of pedestrians."""
    figures = {}
    for mode in MODES:
        episodes = drive(driver, mode, size.episodes, seed=20_000)
        for count in COUNTS:
            name = f"{count.replace('_', ' ')} per km, {mode} mode"
            figures[name] = per_kilometre(episodes, count)
        hit = confidence_interval(episodes["pedestrians_hit"], episodes.index)
        figures[f"pedestrians hit per episode, {mode} mode"] = hit
        figures[f"return, {mode} mode"] = mean_return(episodes)
    return figures


def certain(figure: float, n: int) -> Interval:
    """A figure of n states without an interval."""
    return Interval(figure, np.nan, np.nan, n)


def percent(truths: pd.Series, clusters: np.ndarray) -> Interval:
    """Share of states, in %, with its interval."""
    return confidence_interval(100 * truths.to_numpy(), clusters)


def contact_sheet(states: torch.Tensor) -> np.ndarray:
    """Newest frames side by side, framed in yellow where a pedestrian is in danger."""
    pictures = []
    in_danger = dangers_in(states)["pedestrian danger"]
    frames = draw.newest_frames(states.cpu().numpy()).clip(0, 255).round().astype(np.uint8)
    for frame, danger in zip(frames, in_danger, strict=True):
        enlarged = frame.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
        side = enlarged.shape[0] + 2 * ZOOM
        picture = np.full((side, side, 3), DANGER if danger else SINGLE, np.uint8)
        picture[ZOOM:-ZOOM, ZOOM:-ZOOM] = enlarged
        pictures.append(picture)
    pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % SHEET_COLUMNS)
    rows = [pictures[i : i + SHEET_COLUMNS] for i in range(0, len(pictures), SHEET_COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def markdown(figures: dict[str, dict[str, Interval]]) -> str:
    """A column per driver, a row per figure, with 95 % intervals."""
    names = list(dict.fromkeys(name for of_driver in figures.values() for name in of_driver))
    lines = [f"| | {' | '.join(figures)} |", f"|---{'|---' * len(figures)}|"]
    for name in names:
        pixels = [written(of_driver.get(name)) for of_driver in figures.values()]
        lines.append(f"| {name} | {' | '.join(pixels)} |")
    return "\n".join(lines)


def written(interval: Interval | None) -> str:
    """A table's cell."""
    if interval is None or np.isnan(interval.mean):
        return ""
    known = not np.isnan(interval.low)
    return f"{interval.mean:.2f}" + (f" ({interval.low:.2f} to {interval.high:.2f})" * known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("driving-output"))
    parser.add_argument("--small", action="store_true", help="a first look, in less than a minute")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    size, folder = SMALL if options.small else FULL, options.output

    agents = {
        mode: trained_driver(mode, folder, size.timesteps[mode], options.seed) for mode in MODES
    }
    figures = {
        mode: probed(agent, folder / mode, size, options.seed) for mode, agent in agents.items()
    }
    among_distracted = StateDataset.open(folder / "distracted" / "states")
    drivers = {mode: greedy(agent) for mode, agent in agents.items()}
    drivers |= {"full speed": constant("accelerate"), "standing": constant("brake")}
    for name, driver in drivers.items():
        figures[name] = {**figures.get(name, {}), **driven(driver, size)}
        if name in agents:
            figures[name] |= values_in_danger(agents[name], among_distracted)

    rows = [
        {"driver": driver, "figure": name, **interval._asdict()}
        for driver, of_driver in figures.items()
        for name, interval in of_driver.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    (folder / "table.md").write_text(markdown(figures) + "\n")
    print(markdown(figures))
    print(f"look at {' and '.join(str(folder / mode / 't_minus.png') for mode in MODES)}")


if __name__ == "__main__":
    main()
