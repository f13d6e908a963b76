"""The view of a policy through another view, of which a part is changed."""

from __future__ import annotations

from torch import Tensor

from sb3_explain.agents.policy_views.base import PolicyView
from sb3_explain.envs.spaces import Observations


class WrappedView(PolicyView):
    """A view that says what another says, of what it makes of the observations.

    :param view: the other view
    """

    def __init__(self, view: PolicyView) -> None:
        super().__init__(view.policy)
        self.view = view
        self.value_based = view.value_based
        self.maskable = view.maskable
        self.adds_start = view.adds_start
        self.n_critics = view.n_critics

    def observe(self, observations: Observations) -> Observations:
        """Make the observations of the other view from those of this one; as they are by default.

        :param observations: (B, ...) observations
        """
        return observations

    def scores(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.view.scores(self.observe(observations), lstm_states)

    def values(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.view.values(self.observe(observations), lstm_states)

    def scores_and_values(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self.view.scores_and_values(self.observe(observations), lstm_states)

    def critics(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.view.critics(self.observe(observations), lstm_states)

    def std(self, observations: Observations, lstm_states: Tensor | None) -> Tensor:
        return self.view.std(self.observe(observations), lstm_states)

    def initial_lstm_states(self, batch_size: int) -> Tensor | None:
        return self.view.initial_lstm_states(batch_size)

    def next_lstm_states(
        self, observations: Observations, lstm_states: Tensor | None
    ) -> Tensor | None:
        return self.view.next_lstm_states(self.observe(observations), lstm_states)
