"""Draw docs/gallery.md: one state of a Pong agent and one of a CartPole agent, by every explainer.

Run it with the root of the repository as the working folder, for all explainers or for those
named; it takes a quarter of an hour of one processor::

    python -m benchmarks.draw_gallery
    python -m benchmarks.draw_gallery sarfa rise
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from stable_baselines3 import PPO
from torch import Tensor

from sb3_explain import (
    EXPLAINERS,
    Agent,
    FittedExplainer,
    StateDataset,
    collect,
    demo_agent,
    list_explainers,
    make_explainer,
)

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "gallery"
#: few states, and one epoch: a look at what a method draws, not a measurement of it
N_STATES, FIT = 2000, {"epochs": 1, "seed": 0}
DPI, COLORS, GAP = 84, 96, 10


class Case(NamedTuple):
    """An agent, the states that explainers learn from, and the observation that is explained."""

    agent: Agent
    train: StateDataset
    validation: StateDataset
    observation: Tensor


def make_case(agent: Agent, env: str | None = None) -> Case:
    """Play an agent, and choose the test state in which its action is likeliest."""
    states = collect(agent, env, N_STATES, seed=0)
    train, validation, test = states.split(seed=0)
    scores = test.column("scores")
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    surest = int(np.argmax(shares.max(axis=1) / shares.sum(axis=1)))
    return Case(agent, train, validation, test.observations([surest]))


def make_cases() -> list[Case]:
    """Load the agent that comes with the package, and train one that balances a pole."""
    model = PPO("MlpPolicy", "CartPole-v1", seed=0, device="cpu").learn(20_000)
    return [make_case(demo_agent()), make_case(Agent.from_model(model), "CartPole-v1")]


def draw_case(name: str, case: Case) -> Image.Image:
    """Draw what one explainer says of the observation."""
    if issubclass(EXPLAINERS[name], FittedExplainer):
        explainer = EXPLAINERS[name](case.agent)
        assert isinstance(explainer, FittedExplainer)
        explainer.fit(case.train, case.validation, **FIT)
    else:
        baseline = case.train if EXPLAINERS[name].takes_baseline else None
        explainer = make_explainer(name, case.agent, baseline)
    return explainer.show(case.observation).image(DPI)


def draw_method(name: str, cases: list[Case]) -> None:
    """Draw the agents that one explainer supports, one below the other, as a phone shows them."""
    drawn = [draw_case(name, case) for case in cases if name in list_explainers(case.agent)]
    if not drawn:
        return
    width = max(image.width for image in drawn)
    sheet = Image.new("RGB", (width, sum(image.height + GAP for image in drawn) - GAP), "white")
    top = 0
    for image in drawn:
        sheet.paste(image, (0, top))
        top += image.height + GAP
    # A palette is a quarter of the size, and these pictures have few colors.
    small = sheet.quantize(COLORS, dither=Image.Dither.NONE)
    small.save(FOLDER / f"{name}.png", optimize=True)
    print(name, sheet.size, (FOLDER / f"{name}.png").stat().st_size, flush=True)


if __name__ == "__main__":
    every = make_cases()
    for method in sys.argv[1:] or EXPLAINERS:
        draw_method(method, every)
