"""SGQN and plain SAC on the pixel task of the tests: what they learn, and what they look at.

Networks are small and the auxiliary task is trained on every step, since there are few. Several
seeds: one tells little, for the same training comes out otherwise where its sums are ordered
otherwise, as with another number of threads. Targets are for the means.
"""

import time

import numpy as np

from sb3_explain.sgqn import SGQN, PixelSAC
from tests.pixels import SMALL, PointEnv, play, unseen_backgrounds

STEPS, SEEDS, N_EPISODES = 10_000, range(4), 50
SETTINGS = {
    "buffer_size": 20_000, "learning_starts": 1000, "warmup_updates": 0, "batch_size": 64,
    "mixed_precision": True,
}  # fmt: skip
TARGETS = {
    "sgqn.minutes": "<= 10", "sac.minutes": "<= 10",
    "sgqn.train.score": ">= 0.9", "sgqn.train.on_target": ">= 0.6",
    "sgqn.kept": ">= 0.8", "sac.kept": "< 0.5",
    "train.on_target_difference": "> 0", "unseen.on_target_difference": "> 0",
}  # fmt: skip


def run(record) -> None:
    found = {
        (name, seed): measured(*trained(name, seed)) for name in ("sgqn", "sac") for seed in SEEDS
    }
    report(record, found)


def trained(name: str, seed: int) -> tuple[PixelSAC, float]:
    """A model, and the minutes of its training."""
    if name == "sac":
        model = PixelSAC("PixelPolicy", PointEnv(), seed=seed, policy_kwargs=SMALL, **SETTINGS)
    else:
        networks = {**SMALL, "decoder_filters": (16, 8)}
        model = SGQN(
            "SGQNPolicy", PointEnv(), n_aux=1, seed=seed, policy_kwargs=networks, **SETTINGS
        )
    begin = time.perf_counter()
    model.learn(STEPS)
    return model, (time.perf_counter() - begin) / 60


def measured(model: PixelSAC, minutes: float) -> dict[str, float]:
    """Scores, and what is looked at, on the background of the training and on unseen ones."""
    figures = {"minutes": minutes}
    for where, backgrounds in (("train", None), ("unseen", unseen_backgrounds())):
        played = play(model, backgrounds, N_EPISODES)
        figures |= {f"{where}.{name}": value for name, value in played._asdict().items()}
    figures["kept"] = figures["unseen.score"] / figures["train.score"]
    return figures


def report(record, found: dict[tuple[str, int], dict[str, float]]) -> None:
    """The figures of each seed, and their means."""
    units = {"minutes": "min", "kept": "of its own score"}
    means: dict[str, float] = {}
    for algo in ("sgqn", "sac"):
        for figure in found[algo, SEEDS[0]]:
            unit = units.get(figure) or (
                "of the optimum" if figure.endswith("score") else "share of the mask"
            )
            values = [found[algo, seed][figure] for seed in SEEDS]
            for seed, value in zip(SEEDS, values, strict=True):
                record(f"point.{algo}.{figure}.seed_{seed}", value, unit)
            name = f"{algo}.{figure}"
            means[name] = float(np.mean(values))
            record(f"point.{name}", means[name], unit, TARGETS.get(name))
    for where in ("train", "unseen"):
        name = f"{where}.on_target_difference"
        difference = means[f"sgqn.{where}.on_target"] - means[f"sac.{where}.on_target"]
        record(f"point.{name}", difference, "share of the mask", TARGETS[name])
