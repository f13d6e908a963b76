"""Updates a second of SGQN on a CUDA device: full networks, batch 128 of 9x84x84, six actions.

Sampling from the replay buffer, the way to the device and augmentation are part of it.
"""

import time

import numpy as np
import torch
from bench_sgqn import ACTIONS, IMAGES, Still, quiet

from sb3_explain import SGQN

#: transitions in the buffer, updates that are timed, and those before: for compiling and clocks
FILLED, TIMED, BEFORE = 2000, 200, 30
PRECISIONS = {
    "float32": {},
    "bfloat16": {"mixed_precision": True},
    "compiled": {"mixed_precision": True, "compiled": True},
}


def run(record) -> None:
    if not torch.cuda.is_available():
        print("no CUDA device: not measured")
        return
    for name, settings in PRECISIONS.items():
        record(f"sgqn.cuda.{name}", rate("cuda", **settings), "updates/s", ">= 60")


def rate(device: str, *, before: int = BEFORE, timed: int = TIMED, **settings) -> float:
    """Updates a second, of both parities alike."""
    model = quiet(
        SGQN(
            "SGQNPolicy",
            Still(),
            device=device,
            buffer_size=2 * FILLED,
            warmup_updates=0,
            **settings,
        )
    )
    filled(model.replay_buffer, FILLED)
    model.train(before)
    began = time.perf_counter()
    model.train(timed)  # reads every loss, and so waits for the device
    return timed / (time.perf_counter() - began)


def filled(buffer, n: int) -> None:
    """One long episode of random frames."""
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 256, IMAGES.shape, dtype=np.uint8)
    for _ in range(n):
        following = np.concatenate(
            [stack[3:], rng.integers(0, 256, (3, *stack.shape[1:]), dtype=np.uint8)]
        )
        action = rng.uniform(-1, 1, (1, *ACTIONS.shape)).astype(np.float32)
        buffer.add(stack[None], following[None], action, np.ones(1), np.zeros(1, bool), [{}])
        stack = following
