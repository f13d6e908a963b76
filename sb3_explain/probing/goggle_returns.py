"""Goggles: how well does the agent play on reconstructions (Rupprecht et al. 2019, table 1)?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.signatures import check_arguments, require_class
from sb3_explain.probing.generator import StateGenerator
from sb3_explain.states.play import (
    PLAY_ARGUMENTS,
    ObservationTransform,
    Played,
    play_transformed,
    show_everything,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Goggles(Played):
    """The outcome of :func:`goggles`.

    It has the returns of the agent itself (``"agent"``), of the agent on the reconstructions of
    each generator, by its name, and of random actions (``"random"``).
    """

    def recovered(self, name: str) -> float:
        """Return how far a generator leads from random play, 0, to the agent's own return, 1."""
        low, high = self.intervals["random"].mean, self.intervals["agent"].mean
        return (self.intervals[name].mean - low) / (high - low) if high != low else np.nan

    def table(self) -> pd.DataFrame:
        """Return a row for each: mean return, interval, episodes, mean length, ``recovered``."""
        return super().table().assign(recovered=[self.recovered(name) for name in self.intervals])


@check_arguments
def goggles(
    generators: StateGenerator | dict[str, StateGenerator],
    n_episodes: int = 20,
    **play_kwargs: Any,
) -> Goggles:
    """Measure the return of an agent that acts on reconstructions of what it would observe.

    >>> from sb3_explain import StateGenerator, goggles
    >>> generator = StateGenerator(agent, latent=4)
    >>> _ = generator.fit(train, validation, epochs=1, progress=False)
    >>> result = goggles(generator, n_episodes=2, progress=False)
    >>> list(result.intervals)
    ['agent', 'generator', 'random']

    :param generators: a generator, or several of the same agent by name; this agent plays
    :param n_episodes: number of episodes of the agent itself, of each generator and of random
        actions
    :param play_kwargs: further arguments of :func:`sb3_explain.states.play.play_transformed`
    :return: returns and lengths of all episodes, mean returns with intervals, and their table
    :raises ExplainError: if a generator is another agent's, or the environment is unknown
    """
    named = generators if isinstance(generators, dict) else {"generator": generators}
    require_known("argument of goggles", play_kwargs, PLAY_ARGUMENTS)
    for generator in named.values():
        require_class("generators", generator, StateGenerator)
    agent = next(iter(named.values())).agent
    for name, generator in named.items():
        if name in ("agent", "random"):
            raise ExplainError(f"a generator cannot be called {name!r}: that is another row's name")
        generator.require_fitted()
        if generator.agent.fingerprint() != agent.fingerprint():
            raise ExplainError("the generators are of different agents: give those of one")

    def through(generator: StateGenerator) -> ObservationTransform:
        return lambda batch: batch.flatten_keys(generator.reconstruct_batch(batch))

    transforms: dict[str, ObservationTransform | None] = {"agent": show_everything}
    transforms |= {name: through(generator) for name, generator in named.items()}
    transforms["random"] = None
    played = play_transformed(agent, transforms, n_episodes, title="goggles", **play_kwargs)
    return Goggles(played.returns, played.lengths, played.intervals)
