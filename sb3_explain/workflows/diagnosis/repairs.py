"""Trials: whether an agent earns more when its observations or actions are arranged another way.

An arrangement is chosen on some episodes and confirmed on others, and has to reveal a skill: an
agent that has learned little may earn more with anything that keeps it from doing harm.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_views import PolicyView, WrappedView
from sb3_explain.common.bootstrap import Interval
from sb3_explain.envs.spaces import Observations
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.play import ObservationTransform, show_everything
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import BIAS, NotLookedError
from sb3_explain.workflows.step_columns import compute_columns
from sb3_explain.workflows.whole_episodes import play_whole_episodes

#: number of episodes on which an arrangement is chosen, and the largest number of arrangements
N_SCREENED, MOST = 5, 45
#: confidence level of the gain; and the gain as a share of what is then earned beyond random
#: actions: a trained agent that is shown something wrong earns little beyond them
CONFIDENCE, GAIN = 0.99, 0.5
#: by how many standard deviations of the returns of random actions a skilled policy is above them
SPREAD = 2.0
#: number of states of which Q-values are compared with the return that comes
N_EXPECTED = 1000
#: name of the agent as it is, among arrangements
AS_IS = "as it is"


@dataclasses.dataclass(frozen=True)
class Trial:
    """An arrangement that was chosen and played again.

    :param name: what was arranged otherwise
    :param own: mean return of the agent as it is
    :param repaired: mean return with the arrangement
    :param gain: mean difference over pairs of episodes, with its 95 % interval
    :param helps: whether the arrangement is better beyond doubt, and reveals a skill
    :param n_tried: number of arrangements that were tried
    """

    name: str
    own: float
    repaired: float
    gain: Interval
    helps: bool
    n_tried: int

    def describe(self) -> str:
        """Say what was tried, and what it changed."""
        tried = f"{self.n_tried} arrangement(s) were tried" if self.n_tried > 1 else "it was tried"
        return (
            f"{tried}; the best, {self.name}, earns {self.repaired:.4g} instead of {self.own:.4g}"
        )

    def draw(self, title: str) -> Bars:
        """Draw both returns."""
        return Bars(
            title, "mean return", [AS_IS, self.name], [self.own, self.repaired],
            beyond=[self.helps, False],
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Another way to show the agent its observations, or to take its actions.

    :param transform: transform of the observations
    :param agent: the agent with its actions rearranged; the agent itself when not given
    """

    transform: ObservationTransform = show_everything
    agent: Agent | None = None


def try_arrangements(evidence: Evidence, given: Mapping[str, Arrangement]) -> Trial:
    """Choose the arrangement with the highest return, and play it again on other episodes.

    :param evidence: the agent and its environment
    :param given: the arrangements by name
    :raises NotLookedError: if there are none, or too many, or no environment
    """
    if not given:
        raise NotLookedError("there is nothing to arrange otherwise")
    if len(given) > MOST:
        raise NotLookedError(f"{len(given)} arrangements are too many to try")

    def play(
        one: Arrangement, n: int, seed: int, deterministic: bool | None = None
    ) -> NDArray[np.float64]:
        return evidence.play(
            one.transform, agent=one.agent, n_episodes=n, seed=seed, deterministic=deterministic
        )

    screening, n, seed = evidence.seed + 2000, evidence.n_episodes, evidence.seed + 1000
    screened = {name: play(one, N_SCREENED, screening).mean() for name, one in given.items()}
    best = max(screened, key=lambda name: screened[name])
    own = play(Arrangement(), N_SCREENED, screening)
    if not screened[best] > own.mean():
        gain = Interval(float(screened[best] - own.mean()), np.nan, np.nan, N_SCREENED)
        return Trial(best, float(own.mean()), float(screened[best]), gain, False, len(given))
    own, repaired = play(Arrangement(), n, seed), play(given[best], n, seed)
    gain = evidence.interval_of_returns(repaired - own)
    randomly = evidence.play(None, n_episodes=n, seed=seed)
    helps = is_far_above(evidence, repaired, [own, randomly], randomly)
    if helps and evidence.samples:
        # what a policy learned by sampling shows in its samples, and is no luck of their modes
        sampled = play(Arrangement(), n, seed, False)
        for one in (repaired, play(given[best], n, seed, False)):
            helps &= is_far_above(evidence, one, [own, sampled, randomly], randomly)
    if helps and evidence.agent.view.value_based:
        helps = expects_what_it_earns(evidence, given[best])
    return Trial(best, float(own.mean()), float(repaired.mean()), gain, helps, len(given))


def is_far_above(
    evidence: Evidence,
    returns: NDArray[np.float64],
    others: Sequence[NDArray[np.float64]],
    randomly: NDArray[np.float64],
) -> bool:
    """Whether returns are beyond doubt, and by a margin that a skill has, above those of others.

    A policy that has learned little earns more with anything that keeps it from doing harm, and
    then no more than harmless play does.

    :param evidence: the agent and its environment
    :param returns: (n,) returns of episodes
    :param others: (n,) returns of the same episodes, played otherwise; the best of them counts
    :param randomly: (n,) returns of random actions in the same episodes
    """
    gain = returns - max(others, key=np.mean)
    margin = max(GAIN * (returns.mean() - randomly.mean()), SPREAD * randomly.std())
    return evidence.interval_of_returns(gain, CONFIDENCE).low > 0 and bool(gain.mean() > margin)


def expects_what_it_earns(evidence: Evidence, one: Arrangement) -> bool:
    """Whether Q-values are about the return that comes: those of a skill that was learned are.

    :param evidence: the agent and its environment
    :param one: the arrangement that it is played with
    """
    agent = one.agent or transform_observations(evidence.agent, one.transform)
    states = play_whole_episodes(
        agent, None, N_EXPECTED, env=evidence.find_env(agent), seed=evidence.seed + 1000,
        progress=False, render=False,
    )  # fmt: skip
    columns = compute_columns(agent, states)
    if not {"value", "return_to_come"} <= columns.keys():  # all episodes were cut early
        return True
    came = columns["return_to_come"]
    bias = np.nanmean(columns["value"] - came)
    return bool(abs(bias) <= BIAS * np.sqrt(np.nanmean(came**2)))


class TransformedView(WrappedView):
    """The view of a policy that sees transformed observations.

    :param agent: agent of the policy
    :param transform: transform of the observations
    """

    def __init__(self, agent: Agent, transform: ObservationTransform) -> None:
        super().__init__(agent.view)
        self.agent, self.transform = agent, transform

    def observe(self, observations: Observations) -> Observations:
        batch = StateBatch(self.agent, observations)
        return self.agent.layout.restore(batch.split_keys(self.transform(batch)))


def transform_observations(agent: Agent, transform: ObservationTransform) -> Agent:
    """Return the agent with its observations transformed.

    :param agent: the agent, which stays as it is
    :param transform: transform of the observations
    """
    transformed = copy.copy(agent)
    transformed.view = TransformedView(agent, transform)
    return transformed


class RearrangedView(WrappedView):
    """The view of a policy whose scores stand in another order, or with another sign.

    :param view: view of the policy
    :param order: (K,) index of the score that stands in each place
    :param signs: (K,) 1 or -1
    """

    def __init__(self, view: PolicyView, order: list[int], signs: list[float]) -> None:
        super().__init__(view)
        self.order, self.signs = order, torch.tensor(signs)

    def _arrange(self, scores: Tensor) -> Tensor:
        return scores[:, self.order] * self.signs.to(scores)

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self._arrange(super().scores(observations, lstm_states))

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        scores, values = super().scores_and_values(observations, lstm_states)
        return self._arrange(scores), values

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return super().std(observations, lstm_states)[:, self.order]


def rearrange_actions(agent: Agent, order: list[int], signs: list[float]) -> Agent:
    """Return the agent with its scores in another order, or with other signs.

    :param agent: the agent, which stays as it is
    :param order: (K,) index of the score that stands in each place
    :param signs: (K,) 1 or -1
    """
    rearranged = copy.copy(agent)
    rearranged.view = RearrangedView(agent.view, order, signs)
    return rearranged
