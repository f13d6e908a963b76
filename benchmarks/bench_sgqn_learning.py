"""SGQN and plain SAC on the pixel task of the tests: what they learn, and what they look at.

Networks are small and the auxiliary task is trained on every step, since there are few.
"""

import time

from sb3_explain.sgqn import SGQN, PixelSAC
from tests.pixels import SMALL, PointEnv, play, unseen_backgrounds

STEPS, SEED = 10_000, 0
SETTINGS = {
    "seed": SEED, "buffer_size": 20_000, "learning_starts": 1000, "catch_up": 0, "batch_size": 64,
    "mixed_precision": True,
}  # fmt: skip


def run(record) -> None:
    models = {
        "sgqn": SGQN(
            "SGQNPolicy",
            PointEnv(),
            n_aux=1,
            **SETTINGS,
            policy_kwargs={**SMALL, "decoder_filters": (16, 8)},
        ),
        "sac": PixelSAC("PixelPolicy", PointEnv(), **SETTINGS, policy_kwargs=SMALL),
    }
    scores = {}
    for name, model in models.items():
        begin = time.perf_counter()
        model.learn(STEPS)
        minutes = (time.perf_counter() - begin) / 60
        record(f"point.{name}.minutes", minutes, "min", "<= 10")
        for where, backgrounds in (("train", None), ("unseen", unseen_backgrounds())):
            scores[name, where] = played = play(model, backgrounds, n_episodes=50)
            looks_enough = name == "sgqn" and where == "train"
            record(
                f"point.{name}.{where}.on_target", played.on_target, "share of the mask",
                ">= 0.6" if looks_enough else None,
            )  # fmt: skip
            solved = ">= 0.9" if name == "sgqn" and where == "train" else None
            record(f"point.{name}.{where}.score", played.score, "of the optimum", solved)
    for name, target in (("sgqn", ">= 0.8"), ("sac", "< 0.5")):
        kept = scores[name, "unseen"].score / scores[name, "train"].score
        record(f"point.{name}.kept", kept, "of its own score", target)
    for where in ("train", "unseen"):
        difference = scores["sgqn", where].on_target - scores["sac", where].on_target
        record(f"point.{where}.on_target_difference", difference, "share of the mask", "> 0")
