"""The commands of rl-zoo3: ``sb3-explain enjoy``, and ``sb3-explain train`` as the zoo has it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def is_of_zoo(given: Sequence[str]) -> bool:
    """Whether a command is rl-zoo3's own: ``enjoy``, and ``train`` without a folder for a run."""
    ours = any(
        word in ("-h", "--help") or word.startswith("--output")
        # argparse takes -oFOLDER too; -optimize is the zoo's
        or (word.startswith("-o") and not word.startswith("-op"))
        for word in given
    )  # fmt: skip
    return given[:1] == ["enjoy"] or (given[:1] == ["train"] and not ours)


def run_zoo(options: argparse.Namespace) -> None:
    """``sb3-explain train`` and ``sb3-explain enjoy``: the zoo's, with our algorithms in it."""
    from sb3_explain import zoo  # needs rl-zoo3, which no other command does

    zoo.run(options.given[0], options.given[1:])
