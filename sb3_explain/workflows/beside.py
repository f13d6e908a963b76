"""Other agents, which a page plays beside the one that it explains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.make import make_unfitted
from sb3_explain.report.viewer.playback import Playback
from sb3_explain.workflows.chosen_explainers import list_defaults
from sb3_explain.workflows.page_plan import PagePlan
from sb3_explain.workflows.playback import make_playback


def read_others(others: Mapping[str, Agent | BaseAlgorithm] | None) -> dict[str, Agent]:
    """Read agents by the names that are shown; models are made agents.

    :raises ExplainError: for what is no agent
    """
    given = (others or {}).items()
    return {str(name): read_agent(agent, f"beside[{name!r}]") for name, agent in given}


def name_folders(others: Mapping[str, Agent]) -> dict[str, str]:
    """Name the folders of agents after the names that are shown.

    :raises ExplainError: for a name without letters and digits, or two that differ in others only
    """
    folders = {name: re.sub(r"\W+", "-", name).strip("-") for name in others}
    if not all(folders.values()) or len(set(folders.values())) < len(folders):
        raise ExplainError(
            f"the agents beside this one are called {', '.join(map(repr, others))}: give each a "
            "name of its own, of letters and digits"
        )
    return folders


def play_others(
    others: Mapping[str, Agent],
    output: Path,
    plan: PagePlan,
    options: Mapping[str, Any],
    *,
    seed: int = 0,
    progress: bool = True,
) -> list[Playback]:
    """Play other agents from the same seeds, and explain them by methods that need no fit.

    :param others: agents by the names that are shown
    :param output: folder of the results, in which each gets a store of its episodes
    :param plan: how much is played
    :param options: options of :func:`sb3_explain.collect`
    :param seed: random seed of the episodes
    :param progress: show progress bars
    """
    folders = name_folders(others)
    playbacks = []
    for name, agent in others.items():
        states = plan.play(agent, output, options, name=folders[name], seed=seed, progress=progress)
        explainers = {key: make_unfitted(key, agent, states) for key in list_defaults(agent)}
        playbacks.append(
            make_playback(
                states, explainers, agent=agent, limit=plan.limit, budget=plan.budget, name=name,
                progress=progress,
            )
        )  # fmt: skip
    return playbacks
