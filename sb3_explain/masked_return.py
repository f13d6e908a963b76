"""Masked return: how well does the agent play when it sees only what the masks keep?

The test of SSINet (Shi et al. 2020): states that masking leads to are states of the test, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.batch import StateBatch
from sb3_explain.bootstrap import Interval, confidence_interval
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.errors import ExplainError
from sb3_explain.explainers.base import Explainer, TrainedExplainer
from sb3_explain.maps import highest, order
from sb3_explain.playing import Sight, lanes_of, play
from sb3_explain.progress import progress_bar
from sb3_explain.references import Reference, blend


@dataclass(frozen=True)
class MaskedReturn:
    """The outcome of :func:`masked_return`.

    :param returns: (n,) return of each episode, for an agent that sees everything (``"full"``),
        what the masks keep (``"masked"``), and nothing but the reference (``"empty"``). Episode i
        begins alike in all three
    :param lengths: (n,) steps of each episode
    :param intervals: means of the returns, with intervals over episodes
    """

    returns: dict[str, NDArray[np.float64]]
    lengths: dict[str, NDArray[np.int64]]
    intervals: dict[str, Interval]

    def table(self) -> pd.DataFrame:
        """A line for each of the three: mean return and interval, episodes, mean length."""
        return pd.DataFrame(
            {"sees": sees, **interval._asdict(), "length": self.lengths[sees].mean()}
            for sees, interval in self.intervals.items()
        )


def masked_return(
    agent: Agent,
    explainer: Explainer,
    n_episodes: int = 20,
    *,
    share: float | None = None,
    references: Mapping[str, Reference] | None = None,
    env: str | EnvRecipe | None = None,
    deterministic: bool | None = None,
    max_steps: int | None = None,
    n_envs: int = 8,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = True,
) -> MaskedReturn:
    """Mean return of the agent that sees s * m + r * (1 - m) in place of every observation s.

    m is the explainer's mask of what the agent would do if it saw everything. Beside it stand the
    return of the agent that sees everything, and that of one that sees r alone.

    :param agent: who plays
    :param explainer: of the agent, ready to explain
    :param n_episodes: of each of the three
    :param share: m keeps this share of the cells, those of the highest attribution, and no other;
        when not given, m is the explainer's mask as it is
    :param references: r by entry, see :func:`sb3_explain.references.fit_references`; the
        explainer's own when not given
    :param env: gymnasium id or recipe; the agent's own when not given
    :param deterministic: greedy actions; else sampled or, of Q-values, random with probability
        0.01. As the zoo plays its agents when not given, greedy but on Atari and MiniGrid
    :param max_steps: an episode that takes longer is stopped, and counts what it has earned
    :param n_envs: environments played side by side
    :param seed: of environments, actions and the bootstrap
    :param n_resamples: draws of the bootstrap
    :param confidence: of the intervals, in (0, 1)
    :param progress: show a bar on standard error
    :raises ExplainError: if the explainer gives no masks and no share, or has no reference, or the
        environment is unknown
    """
    references = references or explainer.references
    if explainer.agent is not agent:
        raise ExplainError(f"{explainer.name} explains another agent than the one given")
    if isinstance(explainer, TrainedExplainer):
        explainer.require_fitted()
    if share is None and not explainer.gives_masks:
        raise ExplainError(f"{explainer.name} gives no masks: give the share of the cells to keep")
    if not references:
        raise ExplainError(
            f"{explainer.name} has no reference: give references=fit_references('background', "
            "states.entries())"
        )
    if n_episodes < 1 or n_envs < 1 or (max_steps or 1) < 1 or not 0 <= (share or 0) <= 1:
        raise ExplainError(
            f"n_episodes={n_episodes}, n_envs={n_envs}, max_steps={max_steps}, share={share}: give "
            "positive numbers, and a share in [0, 1]"
        )
    lanes = lanes_of(
        agent, min(n_envs, n_episodes), env=env, deterministic=deterministic, seed=seed
    )

    def masked(batch: StateBatch) -> Tensor:
        maps = batch.flat(explainer.maps(batch))
        if share is None:
            masks = explainer.shown(maps)
        else:
            masks = highest(order(batch.support(maps)), share).view(maps.shape)
        return blend(batch.observations, masks, batch.replacement(references))

    sights: dict[str, Sight] = {
        "full": lambda batch: batch.observations,
        "masked": masked,
        "empty": lambda batch: batch.replacement(references),
    }
    returns, lengths = {}, {}
    try:
        with progress_bar("masked return", 3 * n_episodes, "episodes", progress) as bar:
            for sees, sight in sights.items():
                outcome = play(lanes, sight, n_episodes, max_steps, bar.update)
                returns[sees], lengths[sees] = outcome
    finally:
        lanes.close()
    intervals = {
        sees: confidence_interval(
            values, np.arange(n_episodes), n_resamples=n_resamples, confidence=confidence, seed=seed
        )
        for sees, values in returns.items()
    }
    return MaskedReturn(returns, lengths, intervals)
