"""``sb3-explain list``: the names that other commands take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sb3_explain.agents.loading.algorithms import ALGORITHMS
from sb3_explain.agents.targets.energies import TARGETS
from sb3_explain.cli.parsing import Commands
from sb3_explain.common.registry import Registry
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.networks import NETWORKS
from sb3_explain.probing.codecs import CODECS
from sb3_explain.states.baselines import BASELINES
from sb3_explain.workflows.diagnosis.registry import CHECKS


def add_commands(commands: Commands) -> None:
    """Add the command ``list``, which has no options."""
    commands.add("list", run_list)


def run_list(options: argparse.Namespace) -> None:
    """``sb3-explain list``"""
    del options
    registries: Sequence[tuple[str, Registry[Any]]] = (
        ("explainers", EXPLAINERS),
        ("metrics", METRICS),
        ("checks of diagnose", CHECKS),
        ("baselines", BASELINES),
        ("mask networks", NETWORKS),
        ("targets", TARGETS),
        ("codecs", CODECS),
    )
    for title, registry in registries:
        print(f"{title}:")
        for name in registry:
            words = (registry[name].__doc__ or "").strip()
            print(f"  {name:20} {words.partition(chr(10))[0]}")
    print(f"algorithms:\n  {', '.join(ALGORITHMS)}, her")
