"""Trials: whether an agent earns more when its observations or actions are arranged another way.

An arrangement is chosen on some episodes and confirmed on others, so that trying many of them
raises no false alarm.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_views import PolicyView, WrappedView
from sb3_explain.common.bootstrap import Interval
from sb3_explain.envs.spaces import Observations
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.states.play import ObservationTransform, show_everything
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import NotLookedError

#: number of episodes on which an arrangement is chosen, and the largest number of arrangements
N_SCREENED, MOST = 5, 45
#: confidence level of the gain; and the gain as a share of what is then earned beyond random
#: actions: an agent that is shown something wrong earns little beyond them
CONFIDENCE, GAIN = 0.99, 0.5
#: name of the agent as it is, among arrangements
AS_IS = "as it is"


@dataclasses.dataclass(frozen=True)
class Trial:
    """An arrangement that was chosen and played again.

    :param name: what was arranged otherwise
    :param own: mean return of the agent as it is
    :param repaired: mean return with the arrangement
    :param gain: mean difference over pairs of episodes, with its 95 % interval
    :param helps: whether the arrangement is better beyond doubt
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

    def play(one: Arrangement, n: int, seed: int) -> NDArray[np.float64]:
        return evidence.play(one.transform, agent=one.agent, n_episodes=n, seed=seed)

    screening, n, seed = evidence.seed + 2000, evidence.n_episodes, evidence.seed + 1000
    screened = {name: play(one, N_SCREENED, screening).mean() for name, one in given.items()}
    best = max(screened, key=lambda name: screened[name])
    own = play(Arrangement(), N_SCREENED, screening)
    if not screened[best] > own.mean():
        gain = Interval(float(screened[best] - own.mean()), np.nan, np.nan, N_SCREENED)
        return Trial(best, float(own.mean()), float(screened[best]), gain, False, len(given))
    own, repaired = play(Arrangement(), n, seed), play(given[best], n, seed)
    gain, sure = (
        evidence.interval_of_returns(repaired - own, level) for level in (0.95, CONFIDENCE)
    )
    randomly = evidence.play(None, n_episodes=n, seed=seed)
    helps = sure.low > 0 and gain.mean > GAIN * (repaired.mean() - randomly.mean())
    return Trial(best, float(own.mean()), float(repaired.mean()), gain, bool(helps), len(given))


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
