"""Atari's RAM: what some of its 128 bytes hold, after Anand et al. (2019), table 5."""

from __future__ import annotations

import re

N_BYTES = 128

#: what bytes hold, by game; the others are named by their number
BYTES: dict[str, dict[int, str]] = {
    "Boxing": {
        17: "clock", 18: "own score", 19: "other's score",
        32: "own x", 33: "other's x", 34: "own y", 35: "other's y",
    },
    "Breakout": {72: "paddle x", 77: "blocks hit", 84: "score", 99: "ball x", 101: "ball y"},
    "Freeway": {14: "own y", 103: "score", **{108 + i: f"car {i} x" for i in range(10)}},
    "MsPacman": {
        6: "Sue x", 7: "Inky x", 8: "Pinky x", 9: "Blinky x", 10: "own x", 11: "fruit x",
        12: "Sue y", 13: "Inky y", 14: "Pinky y", 15: "Blinky y", 16: "own y", 17: "fruit y",
        19: "ghosts", 56: "own direction", 119: "dots eaten", 120: "score", 123: "lives",
    },
    "Pong": {
        13: "other's score", 14: "own score", 45: "other's x", 46: "own x",
        49: "ball x", 50: "other's y", 51: "own y", 54: "ball y",
    },
    "SpaceInvaders": {
        9: "missiles y", 17: "invaders left", 24: "invaders y", 26: "invaders x",
        28: "own x", 73: "lives", 104: "score",
    },
    "Tennis": {
        16: "ball x", 17: "ball y", 24: "own y", 25: "other's y", 26: "own x", 27: "other's x",
        69: "own score", 70: "other's score",
    },
}  # fmt: skip


def name_bytes(name: str) -> tuple[str, ...]:
    """128 names, such as ``"byte 49 (ball x)"``.

    :param name: the environment's name without its version, such as ``"Pong-ram"``
    """
    game = re.sub(r"-ram.*$|NoFrameskip$|Deterministic$", "", name)
    known = BYTES.get(game, {})
    return tuple(f"byte {i} ({known[i]})" if i in known else f"byte {i}" for i in range(N_BYTES))
