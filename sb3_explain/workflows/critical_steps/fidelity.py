"""Fidelity of critical steps: how far the return falls where random actions are taken there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.bootstrap import Interval, confidence_interval
from sb3_explain.envs.spaces import Observations
from sb3_explain.states.masked_play import RepeatedPlay
from sb3_explain.states.play import play_actions
from sb3_explain.states.rollouts import ParallelEnvs

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Steps = NDArray[np.int64]
#: number of draws of the bootstrap
N_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class StateMaskFidelity:
    """Returns of the same episodes as they went, and with random actions at some of their steps.

    >>> from sb3_explain import StateMask
    >>> mask = StateMask(agent).fit(n_timesteps=64, n_envs=2, progress=False)
    >>> fidelity = mask.fidelity(n_episodes=4, progress=False)
    >>> list(fidelity.returns)
    ['own', 'critical', 'random', 'blocks']

    :param env_id: name of the environment
    :param share: share of the steps with random actions
    :param seed: random seed of the episodes
    :param returns: (n,) returns of the episodes: ``"own"`` as they went, ``"critical"`` with random
        actions at the share of steps of highest importance, ``"random"`` at as many at random,
        ``"blocks"`` in blocks at random that are as long as the runs of critical steps
    :param lengths: (n,) number of steps of the episodes as they went
    :param critical: mean fall of the return by random actions at the critical steps, with interval
    :param random: mean fall of the return by random actions at steps at random
    :param blocks: mean fall of the return by random actions in blocks at random
    :param difference: mean of the first fall less that at random steps, paired by episode
    :param block_difference: mean of the first fall less that in blocks, paired by episode
    :param ratio: first mean fall over that at random steps; infinite where this is not above 0
    """

    env_id: str
    share: float
    seed: int
    returns: dict[str, Array]
    lengths: NDArray[np.int64]
    critical: Interval
    random: Interval
    blocks: Interval
    difference: Interval
    block_difference: Interval
    ratio: Interval

    def __str__(self) -> str:
        """Say in a few lines what the returns tell."""
        n, share = len(self.lengths), f"{self.share:.0%}"
        ratio = f", ratio {say(self.ratio)}" if np.isfinite(self.ratio.mean) else ""
        if min(self.difference.low, self.block_difference.low) > 0:
            verdict = "the chosen steps matter more than others"
        elif self.difference.low > 0:
            verdict = "no difference is shown between the chosen steps and others in as long runs"
        elif self.difference.high < 0:
            verdict = "the chosen steps matter LESS than others"
        else:
            verdict = "no difference is shown between the chosen steps and others"
        return "\n".join([
            f"{self.env_id}: return {self.returns['own'].mean():.4g} in {n} episodes as they went",
            f"random actions at the {share} most critical steps lower it by {say(self.critical)}",
            f"random actions at {share} of the steps at random lower it by {say(self.random)}",
            "random actions in blocks at random, as long as the runs of critical steps, lower it "
            f"by {say(self.blocks)}",
            f"difference to steps at random {say(self.difference)}{ratio}, difference to blocks "
            f"{say(self.block_difference)}: {verdict}",
        ])  # fmt: skip

    def table(self) -> pd.DataFrame:
        """Make a table with a row for each way to choose steps: return, fall and its interval."""
        from sb3_explain.common.whole_table import WholeTable

        return WholeTable(
            {"steps": name, "return": self.returns[name].mean(), **fall._asdict()}
            for name, fall in (
                ("critical", self.critical),
                ("random", self.random),
                ("blocks", self.blocks),
            )
        )


def say(interval: Interval) -> str:
    """Write a mean with its interval."""
    return f"{interval.mean:.4g} ({interval.low:.4g} to {interval.high:.4g})"


def measure_fidelity(
    envs: ParallelEnvs,
    importance: Callable[[Observations, Tensor | None], Array],
    *,
    share: float,
    n_episodes: int,
    max_steps: int | None,
    confidence: float,
    advance: Callable[[int], object],
) -> StateMaskFidelity:
    """Play the same episodes four times.

    :param envs: the environments
    :param importance: importance (n,) of the steps that follow observations
    :param share: share of the steps with random actions
    :param n_episodes: number of episodes
    :param max_steps: largest number of steps of an episode
    :param confidence: confidence level of the intervals
    :param advance: called with 1 after each episode
    """
    recorded: list[list[float]] = [[] for _ in range(n_episodes)]

    def record(
        playing: dict[int, int], observations: Observations, lstm_states: Tensor | None
    ) -> None:
        found = importance(observations, lstm_states)
        for episode, row in playing.items():
            recorded[episode].append(float(found[row]))

    chooser = RepeatedPlay(envs, visit=record)
    own, lengths = play_actions(envs, chooser, n_episodes, max_steps, advance)
    returns = {"own": own}
    for arm, (name, choose) in enumerate(CHOICES.items(), 1):
        steps = [
            choose(np.array(values), share, np.random.default_rng([envs.seed, episode, arm]))
            for episode, values in enumerate(recorded)
        ]
        repeated = RepeatedPlay(envs, steps, arm=arm)
        returns[name], _ = play_actions(envs, repeated, n_episodes, max_steps, advance)
    falls = {name: own - returns[name] for name in CHOICES}
    falls["difference"] = falls["critical"] - falls["random"]
    falls["block_difference"] = falls["critical"] - falls["blocks"]
    intervals = {
        name: confidence_interval(
            values, np.arange(n_episodes), n_resamples=N_RESAMPLES, confidence=confidence,
            seed=envs.seed,
        )
        for name, values in falls.items()
    }  # fmt: skip
    ratio = find_ratio(falls["critical"], falls["random"], confidence, envs.seed)
    return StateMaskFidelity(
        envs.env_name, share, envs.seed, returns, lengths, **intervals, ratio=ratio
    )


def choose_critical(importance: Array, share: float, rng: np.random.Generator) -> Steps:
    """Choose a share of an episode's steps, at least one: those of highest importance, in order.

    :param importance: (T,) importance of the steps
    :param share: share of the steps
    :param rng: random generator, which decides between steps of the same importance
    """
    order = rng.permutation(len(importance))
    order = order[np.argsort(-importance[order], kind="stable")]
    return np.sort(order[: count_steps(importance, share)])


def choose_randomly(importance: Array, share: float, rng: np.random.Generator) -> Steps:
    """Choose as many steps at random, in order."""
    return np.sort(rng.permutation(len(importance))[: count_steps(importance, share)])


def choose_blocks(importance: Array, share: float, rng: np.random.Generator) -> Steps:
    """Choose blocks of steps at random, which are as many and as long as the runs of critical ones.

    All ways to place them one after the other are equally likely.
    """
    critical = choose_critical(importance, share, rng)
    lengths = rng.permutation(list_runs(critical))
    n_free = len(importance) - len(critical)
    # each block takes one of n_free + len(lengths) places, and each free step one of the others
    places = np.sort(rng.choice(n_free + len(lengths), len(lengths), replace=False))
    before = np.cumsum(lengths) - lengths
    starts = places - np.arange(len(lengths)) + before
    return np.concatenate([start + np.arange(n) for start, n in zip(starts, lengths, strict=True)])


def count_steps(importance: Array, share: float) -> int:
    """Number of steps of a share of an episode, at least one."""
    return max(1, round(share * len(importance)))


def list_runs(steps: Steps) -> list[int]:
    """List the lengths of runs of steps that follow one another."""
    ends = np.flatnonzero(np.diff(steps) != 1) + 1
    lengths: list[int] = np.diff([0, *ends, len(steps)]).tolist()
    return lengths


#: how steps are chosen, by the name of what is measured
CHOICES: dict[str, Callable[[Array, float, np.random.Generator], Steps]] = {
    "critical": choose_critical,
    "random": choose_randomly,
    "blocks": choose_blocks,
}


def find_ratio(critical: Array, random: Array, confidence: float, seed: int) -> Interval:
    """Ratio of two mean falls, with its interval by the percentile bootstrap over episodes.

    :param critical: (n,) falls by random actions at the critical steps
    :param random: (n,) falls by random actions at any steps, of the same episodes
    :param confidence: confidence level
    :param seed: random seed of the draws
    """
    n = len(critical)
    drawn = np.random.default_rng(seed).integers(n, size=(N_RESAMPLES, n))
    above, below = critical[drawn].mean(axis=1), random[drawn].mean(axis=1)
    ratios = np.where(below > 0, above / np.where(below > 0, below, 1.0), np.inf)
    tail = (1 - confidence) / 2
    low = float(np.quantile(ratios, tail, method="lower"))
    high = float(np.quantile(ratios, 1 - tail, method="higher"))
    mean = float(random.mean())
    return Interval(float(critical.mean()) / mean if mean > 0 else np.inf, low, high, n)
