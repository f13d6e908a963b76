"""How much of an agent a page plays, and how thoroughly it is explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.whole_episodes import EPISODES, play_whole_episodes

#: number of steps of whole episodes that are played for a page without a fit, so that a game may be
#: over, of an agent that observes images and of another, and for one with a fit
FIRST_PICTURES, FIRST_VECTORS, PLAYED = 2400, 1000, 4000
#: number of these steps that are shown, and of the forward passes that explain them, about
FIRST_SHOWN, SHOWN, FIRST_PASSES, PASSES = 300, 1000, 32_000, 60_000
#: options of collecting states that concern what is played
PLAYING = frozenset({"env", "behavior", "epsilon", "render"})


@dataclasses.dataclass(frozen=True)
class PagePlan:
    """How much of an agent a page plays.

    :param n_states: number of states to play
    :param limit: number of steps to show, at most
    :param budget: number of forward passes for each explainer, about
    """

    n_states: int
    limit: int
    budget: int

    def play(
        self,
        agent: Agent,
        output: Path,
        options: Mapping[str, Any],
        *,
        name: str = "",
        seed: int = 0,
        progress: bool = True,
    ) -> StateDataset:
        """Play whole episodes for a page, or go on where an earlier run has stopped.

        :param agent: the agent to play
        :param output: folder of the results
        :param options: options of :func:`sb3_explain.collect`, of which those of the environment
            and of the agent's behavior are used
        :param name: what the folder of the episodes is called after, for another agent
        :param seed: random seed of the episodes
        :param progress: show a progress bar
        """
        used = {name: each for name, each in options.items() if name in PLAYING}
        folder = output / (f"{EPISODES}_{name}" if name else EPISODES)
        return play_whole_episodes(
            agent, folder, self.n_states, seed=seed, progress=progress, **used
        )


def plan_page(
    agent: Agent, *, learned: bool, n_states: int | None = None, n_shown: int | None = None
) -> PagePlan:
    """Plan how much of an agent a page plays.

    :param agent: the agent
    :param learned: whether an explainer learned from states, so that nobody waits for the page
    :param n_states: number of states that the user wants to have collected; no more are played
    :param n_shown: number of steps that the user wants to see, at most
    """
    few = FIRST_PICTURES if find_image(agent) is not None else FIRST_VECTORS
    played = PLAYED if learned else few
    limit = n_shown or (SHOWN if learned else FIRST_SHOWN)
    return PagePlan(
        max(limit if n_shown else 1, min(played, n_states or played)),
        limit,
        PASSES if learned else FIRST_PASSES,
    )
