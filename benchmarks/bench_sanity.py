"""Sanity: do maps change when the agent's layers are randomised, from the output down?

What Huber et al. (2022) found is that the original Greydanus map, which is the same for every
action, hardly notices a random output layer, while SARFA's does. VisionMask is fitted anew on every
randomised agent, each time from other initial weights: the row of "nothing" shows how alike two
fits to the same agent are, so that what falls below it is the agent's doing.
"""

import itertools
import tempfile
from pathlib import Path

from sb3_explain import VisionMask, collect
from sb3_explain.agents.demo import demo_agent
from sb3_explain.evaluation.parameter_randomization import (
    ParameterRandomization,
    parameter_randomization,
)
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.report import save
from sb3_explain.report.randomization_figure import randomization_figure
from sb3_explain.states.labels import relabel

N_STATES, N_COLLECTED, EPOCHS, SEED = 150, 4000, 8, 0
FIGURE = Path(__file__).parent.parent / "docs" / "images" / "randomisation.png"
RECOMPUTED = ("greydanus", "sarfa", "gradient", "integrated_gradients")


def run(record) -> None:
    agent = demo_agent()
    with tempfile.TemporaryDirectory() as folder:
        states = collect(agent, n_states=N_COLLECTED, folder=Path(folder) / "states", seed=SEED)
        # at least ten episodes to test on, so that intervals are over episodes
        train, validation, test = states.split((0.6, 0.1, 0.3), seed=SEED)
        seeds = itertools.count(SEED)

        def visionmask(agent):
            return VisionMask(agent, seed=next(seeds))

        def fit(explainer) -> None:
            parts = (relabel(explainer.agent, part) for part in (train, validation))
            explainer.fit(*parts, epochs=EPOCHS, seed=SEED, progress=False)

        result = parameter_randomization(
            agent,
            test,
            {**{name: EXPLAINERS[name] for name in RECOMPUTED}, "visionmask": visionmask},
            fit=fit,
            n_evaluated=N_STATES,
            seed=SEED,
        )
    print(result.table().to_string())
    save(FIGURE, randomization_figure(result.intervals, result.layers))
    report(record, result)


def report(record, result: ParameterRandomization) -> None:
    output = result.layers[1]
    for name, layers in result.intervals.items():
        for layer in (result.layers[0], output, result.layers[-1]):
            for measure, interval in layers.get(layer, {}).items():
                figure = (
                    f"sanity.pong.{measure}.{name.replace(', ', '_').replace(' ', '_')}.{layer}"
                )
                record(figure, interval.mean, "similarity")
    for measure in ("ssim", "spearman"):
        insensitive = result.intervals["greydanus"][output][measure]
        for name in ("sarfa", "visionmask"):
            gap = insensitive.low - result.intervals[name][output][measure].high
            record(f"sanity.pong.{measure}.{name}_below_greydanus", gap, "similarity", "> 0")
