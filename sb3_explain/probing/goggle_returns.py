"""Goggles: how well does the agent play on reconstructions (Rupprecht et al., table 1)?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sb3_explain.common.errors import ExplainError
from sb3_explain.probing.generator import StateGenerator
from sb3_explain.states.play import ObservationTransform, Played, everything, play_transformed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Goggles(Played):
    """The outcome of :func:`goggles`: of the agent itself (``"agent"``), through each generator by
    its name, and of random actions (``"random"``).
    """

    def recovered(self, name: str) -> float:
        """How far of the way from random play to the agent's own return a generator leads."""
        least, most = self.intervals["random"].mean, self.intervals["agent"].mean
        return (self.intervals[name].mean - least) / (most - least) if most != least else np.nan

    def table(self) -> pd.DataFrame:
        """A line for each: mean return and interval, episodes, mean length, share of the way."""
        return super().table().assign(recovered=[self.recovered(name) for name in self.intervals])


def goggles(
    generators: StateGenerator | dict[str, StateGenerator],
    n_episodes: int = 20,
    **play_kwargs: Any,
) -> Goggles:
    """Mean return of the agent that acts on reconstructions of all that it would see.

    :param generators: of the states of one agent, which plays, by name; one alone is called
        ``"generator"``
    :param n_episodes: of each: the agent itself, each generator, random actions
    :param play_kwargs: further arguments of :func:`sb3_explain.states.play.play_transformed`
    :raises ExplainError: if a generator is another agent's, or the environment is unknown
    """
    named = generators if isinstance(generators, dict) else {"generator": generators}
    agent = next(iter(named.values())).agent
    for name, generator in named.items():
        if name in ("agent", "random"):
            raise ExplainError(f"a generator cannot be called {name!r}: that is another row's name")
        generator.require_fitted()
        if generator.agent.fingerprint() != agent.fingerprint():
            raise ExplainError("the generators are of different agents: give those of one")

    def through(generator: StateGenerator) -> ObservationTransform:
        return lambda batch: batch.flat(generator.reconstructed(batch))

    transforms: dict[str, ObservationTransform | None] = {"agent": everything}
    transforms |= {name: through(generator) for name, generator in named.items()}
    transforms["random"] = None
    played = play_transformed(agent, transforms, n_episodes, title="goggles", **play_kwargs)
    return Goggles(played.returns, played.lengths, played.intervals)
