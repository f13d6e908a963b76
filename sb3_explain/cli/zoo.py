"""rl-zoo3's own commands: ``sb3-explain enjoy``, and ``sb3-explain train`` without ``-o``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def is_of_zoo(given: Sequence[str]) -> bool:
    """Whether a command line is for rl-zoo3: ``enjoy``, or ``train`` without ``-o`` and ``-h``.

    :param given: arguments of the command line
    """
    ours = any(
        word in ("-h", "--help") or word.startswith("--output")
        # argparse takes -oFOLDER too; -optimize is the zoo's
        or (word.startswith("-o") and not word.startswith("-op"))
        for word in given
    )  # fmt: skip
    return given[:1] == ["enjoy"] or (given[:1] == ["train"] and not ours)


def run_zoo(options: argparse.Namespace) -> None:
    """Run rl-zoo3's ``train`` or ``enjoy``, after this package's algorithms are registered."""
    from sb3_explain import zoo  # needs rl-zoo3, which no other command does

    zoo.run(options.given[0], options.given[1:])
