"""What all checks of a diagnosis share: played states, and what the agent says of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import score_range
from sb3_explain.agents.activations import list_innermost
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_views.actor_q import ARSView
from sb3_explain.common.bootstrap import Interval, confidence_interval, make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.feature_names import list_feature_names
from sb3_explain.envs.spaces import spaces_by_key, split_keys
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.env_sources import EnvSource
from sb3_explain.states.environments import AnyEnv, find_source
from sb3_explain.states.play import ObservationTransform, play_transformed, show_everything
from sb3_explain.workflows.diagnosis.findings import NotLookedError, list_first

Array = NDArray[Any]

#: number of states that the agent is asked about, of features and of pictures
N_ASKED, N_PICTURES = 1000, 192
#: number of states of random play
N_RANDOM = 500


class Evidence:
    """Played states of an agent, its answers, and an environment to try things in.

    :param agent: the agent
    :param states: states that it played
    :param env: the environment, as :func:`sb3_explain.collect` takes it; the agent's own when not
        given
    :param playable: whether there is an environment
    :param n_episodes: number of episodes of each trial
    :param max_steps: largest number of steps of an episode of a trial
    :param irrelevant: names of features that the agent should be blind to
    :param seed: random seed
    """

    def __init__(
        self,
        agent: Agent,
        states: StateDataset,
        env: AnyEnv | EnvSource | None = None,
        *,
        playable: bool = True,
        n_episodes: int = 16,
        max_steps: int = 1000,
        irrelevant: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.agent = agent
        self.states = states
        self.env = env
        self.playable = playable
        self.n_episodes = n_episodes
        self.max_steps = max_steps
        self.irrelevant = irrelevant
        self.seed = seed
        #: returns of the agent as it is, and of random actions, by how they were played
        self._played: dict[tuple[bool, int, int, bool], Array] = {}
        #: (B,) positions of the states that the agent is asked about
        self.positions = states.spread(N_PICTURES if agent.layout.pictures else N_ASKED)
        #: (B,) clusters of these states, which are resampled together
        self.clusters = make_clusters(states.episode, states.steps)[self.positions]

    @cached_property
    def observed(self) -> dict[str, Tensor]:
        """Observations (B, ...) by key as the agent sees them: pictures (B, C, H, W), else flat."""
        return self._observe(self.states, self.positions)

    def _observe(self, states: StateDataset, positions: Array) -> dict[str, Tensor]:
        tensors = split_keys(self.agent.tensor(states.observations(positions)))
        return {key: seen.float() for key, seen in self.agent.layout.arrange(tensors).items()}

    @cached_property
    def feature_names(self) -> dict[str, list[str]]:
        """Name of each feature by key, for keys that are no pictures."""
        return {
            key: list_feature_names({key: seen[0].numel()}, self.agent.feature_names)
            for key, seen in self.observed.items()
            if key not in self.pictures
        }

    @property
    def pictures(self) -> list[str]:
        """Keys of the observation that are pictures."""
        return list(self.agent.layout.pictures)

    @property
    def number_keys(self) -> list[str]:
        """Keys of the observation that are features of numbers: no pictures, no categories."""
        by_key = spaces_by_key(self.agent.observation_space)
        return [key for key in self.feature_names if isinstance(by_key[key], spaces.Box)]

    @cached_property
    def batch(self) -> StateBatch:
        """The states as a batch.

        :raises NotLookedError: if the observations are not finite
        """
        try:
            return self.states.batch(self.agent, self.positions)
        except ExplainError as error:
            raise NotLookedError(self._say_not_finite() or str(error)) from error

    def _say_not_finite(self) -> str:
        """Say which observations are NaN or infinite; nothing if there are none."""
        found = []
        for key, seen in self.observed.items():
            bad = ~seen.reshape(len(seen), -1).isfinite().all(dim=0)
            names = self.feature_names.get(key)
            if names:
                found += [name for name, one in zip(names, bad.tolist(), strict=True) if one]
            elif bool(bad.any()):
                found.append(key or "the picture")
        return f"NaN or infinite numbers come in {list_first(found)}" if found else ""

    @cached_property
    def scores(self) -> Tensor:
        """(B, K) scores of the states."""
        with torch.no_grad():
            return self.batch.scores(self.batch.by_key)

    @cached_property
    def probabilities(self) -> Tensor:
        """(B, K) probabilities of the actions, of agents that sample them.

        :raises NotLookedError: if it has none
        """
        if self.is_box or self.agent.view.value_based:
            raise NotLookedError("the agent has no probabilities of actions")
        return self.agent.probabilities_of(self.scores)

    @property
    def is_box(self) -> bool:
        """Whether the actions are continuous."""
        return isinstance(self.agent.action_space, spaces.Box)

    @property
    def samples(self) -> bool:
        """Whether the agent has a distribution that it can draw its actions from."""
        view = self.agent.view
        return not (view.value_based or isinstance(view, ARSView))

    @cached_property
    def outputs(self) -> dict[str, Tensor]:
        """Output (B, ...) of each innermost module on the way to scores and values, by name."""
        batch, agent = self.batch, self.agent
        seen = agent.layout.restore(batch.by_key)
        with torch.no_grad():
            found = agent.activations(
                seen, list_innermost(agent.layers), batch.policy_inputs.get("lstm_states")
            )
        return {name: output for name, output in found.items() if output.dim() > 1}

    def measure_change(self, rows: dict[str, Tensor]) -> Array:
        """(B,) squared change of the scores, in units of how much they vary between states.

        Scores less their mean over the actions are compared, whose variance over states is 1; two
        states drawn at random differ by 2.

        :param rows: (B, ...) changed observations by key
        """
        with torch.no_grad():
            changed = self._center(self.batch.scores(rows))
        own = self._center(self.scores)
        spread = float((own - own.mean(dim=0)).square().sum(dim=1).mean())
        if spread <= 1e-12 * max(1.0, float(own.square().sum(dim=1).mean())):
            raise NotLookedError("its scores are the same in every state")
        return ((changed - own).square().sum(dim=1) / spread).double().numpy(force=True)

    def _center(self, scores: Tensor) -> Tensor:
        """Scores as they matter: of Box actions as they are received, else less their mean."""
        if not self.is_box:
            return scores if scores.shape[1] == 1 else scores - scores.mean(dim=1, keepdim=True)
        return self.receive(scores)

    def receive(self, scores: Tensor) -> Tensor:
        """(B, A) Box actions as the environment receives them: -0.5 to 0.5 over their range.

        :param scores: (B, A) scores
        """
        space = self.agent.action_space
        assert isinstance(space, spaces.Box)
        middle, extent = (x.to(scores) for x in score_range(space, squashed=self.agent.squashed))
        placed = (scores - middle) / extent
        return placed.clamp(-0.5, 0.5) if space.is_bounded() else placed

    def interval(self, values: ArrayLike, confidence: float = 0.95) -> Interval:
        """Mean over the states with its interval.

        :param values: (B,) a value for each state
        :param confidence: confidence level
        """
        return confidence_interval(values, self.clusters, confidence=confidence, seed=self.seed)

    def interval_of_returns(self, returns: Array, confidence: float = 0.95) -> Interval:
        """Mean over episodes with its interval.

        :param returns: (n,) a value for each episode
        :param confidence: confidence level
        """
        episodes = np.arange(len(returns))
        return confidence_interval(returns, episodes, confidence=confidence, seed=self.seed)

    def require_values(self) -> None:
        """:raises NotLookedError: if the agent has no values"""
        try:
            self.agent.values(self.states.observations([0]), **self.states.policy_inputs([0]))
        except ExplainError as error:
            raise NotLookedError(str(error)) from error

    @cached_property
    def observed_randomly(self) -> dict[str, Tensor]:
        """Observations (500, ...) by key of the states that random actions lead to.

        :raises NotLookedError: without an environment, or where it fails
        """
        source = self.find_env(self.agent)
        try:
            states = collect(
                self.agent, source, N_RANDOM, seed=self.seed + 3000, behavior="epsilon",
                epsilon=1.0, render=False, progress=False,
            )  # fmt: skip
        except ExplainError as error:  # such as observations that are NaN at times
            raise NotLookedError(str(error)) from error
        return self._observe(states, states.spread(N_RANDOM))

    def find_env(self, agent: Agent) -> EnvSource:
        """Find the environments for an agent, each time anew: copies are closed after play.

        :param agent: agent that plays
        :raises NotLookedError: without an environment
        """
        if not self.playable:
            raise NotLookedError("no environment is known: name one with env=...")
        return find_source(agent, self.env)

    def play(
        self,
        transform: ObservationTransform | None = show_everything,
        *,
        agent: Agent | None = None,
        n_episodes: int | None = None,
        seed: int | None = None,
        deterministic: bool | None = None,
    ) -> Array:
        """(n,) returns of episodes, which begin from equal seeds whatever is played.

        What was played before of the agent as it is, or of random actions, is not played again.

        :param transform: transform of the observations; ``None`` for random actions
        :param agent: agent that plays; that of the diagnosis when not given
        :param n_episodes: number of episodes
        :param seed: random seed of the episodes
        :param deterministic: whether actions are greedy, as :func:`collect` decides if not given
        :raises NotLookedError: without an environment, or where it fails
        """
        player = agent or self.agent
        source = self.find_env(player)
        n, seed = n_episodes or self.n_episodes, self.seed + 1000 if seed is None else seed
        greedy = not source.is_sampled if deterministic is None else deterministic
        plain = agent is None and (transform is None or transform is show_everything)
        known = (transform is None, n, seed, greedy)
        if plain and known in self._played:
            return self._played[known]
        try:
            returns = play_transformed(
                player, {"": transform}, n, env=source, deterministic=greedy,  # type: ignore[arg-type]
                max_steps=self.max_steps, progress=False, seed=seed,
            ).returns[""]  # fmt: skip
        except ExplainError as error:  # such as observations that are NaN at times
            raise NotLookedError(self._say_not_finite() or str(error)) from error
        if plain:
            self._played[known] = returns
        return returns
