"""Branches of an episode: it is played again to a step, and goes on from there with another action.

An episode follows from its seed and its actions. So no snapshot of an environment is needed, which
not every environment can give: it is reset to the seed, the recorded actions are repeated, and each
observation and reward is compared with the recorded one, to the bit.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.env_sources import EnvSource
from sb3_explain.states.environments import ZOO_EPSILON
from sb3_explain.states.rollouts import ParallelEnv, ParallelEnvs

Frame = NDArray[np.uint8]


@dataclasses.dataclass
class Played:
    """An episode, or what a branch adds to it.

    :param actions: T actions, as the environment takes them
    :param returns: T + 1 returns of the episode so far, before each step and at the end
    :param digests: T + 1 digests of the agent's observations and of ``returns``
    :param ending: ``"terminated"``, ``"truncated"``, or ``"cut"`` where it was stopped
    :param frames: RGB pictures (h, w, 3) by step, of those that were drawn
    """

    actions: list[Any] = dataclasses.field(default_factory=list)
    returns: list[float] = dataclasses.field(default_factory=list)
    digests: list[bytes] = dataclasses.field(default_factory=list)
    ending: str = "cut"
    frames: dict[int, Frame] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Junction:
    """What the agent knew at the step where branches part.

    :param scores: (K,) the agent's scores
    :param action: the action that it took
    :param rng: random state of the agent's further actions
    :param lstm_states: state of a recurrent agent's LSTM after the step
    :param env_random: random state of the environment; ``None`` if it has no generator
    """

    scores: Tensor
    action: Any
    rng: np.random.Generator
    lstm_states: Tensor | None
    env_random: Any


class Brancher:
    """Plays one episode of an agent, and branches of it.

    :param agent: agent that plays
    :param source: where the environment comes from
    :param episode: number of the episode, from which its seed follows
    :param step: number of the step where branches part, from 0
    :param deterministic: whether actions are greedy; as in RL Zoo when not given
    :param seed: random seed
    :param shown: the steps whose frames are drawn
    :raises ExplainError: if it is a VecEnv, which cannot be reset to an episode
    """

    def __init__(
        self,
        agent: Agent,
        source: EnvSource,
        *,
        episode: int,
        step: int,
        deterministic: bool | None,
        seed: int,
        shown: range,
    ) -> None:
        sampled = source.is_sampled if deterministic is None else not deterministic
        randomly = sampled and agent.view.value_based
        envs = source.open(
            1,
            render=bool(shown),
            seed=seed,
            sampled=sampled and not randomly,
            epsilon=ZOO_EPSILON if randomly else 0.0,
        )
        if not isinstance(envs, ParallelEnvs):
            envs.close()
            raise ExplainError(
                "a VecEnv cannot play an episode again: give env= a gymnasium id, an EnvRecipe, an "
                "environment, or a function that makes one"
            )
        self.envs = envs
        self.env: ParallelEnv = envs.each[0]
        self.episode = episode
        self.step = step
        self.shown = shown
        self._draw: Callable[[], Any] | None = self.env.find_screen() if shown else None
        #: whether what is played now is drawn: one continuation of each action is
        self._draws = False
        #: whether the agent's actions are random
        self.is_sampled = sampled

    def close(self) -> None:
        """Close the environment, if it was made to be played."""
        self.envs.close()

    @torch.no_grad()
    def play_episode(self, max_steps: int | None) -> None:
        """Play the episode as the agent plays it, which branches are compared with.

        :param max_steps: largest number of steps after the step where branches part
        :raises ExplainError: if the episode ends before that step
        """
        self.whole = played = Played()
        self._begin(played)
        while played.ending == "cut" and not self._is_enough(played, max_steps):
            scores, action = self._choose()
            if len(played.actions) == self.step:
                self.junction = Junction(
                    scores[0],
                    copy.deepcopy(action),
                    copy.deepcopy(self.env.rng),
                    None if self.envs.lstm_states is None else self.envs.lstm_states.clone(),
                    self._read_env_random(),
                )
            self._take(played, action)
        if len(played.actions) <= self.step:
            raise ExplainError(
                f"episode {self.episode} has {len(played.actions)} steps: give a step below that "
                f"(step={self.step})"
            )
        #: whether the environment drew random numbers after the step where branches part
        drew = self._read_env_random() != self.junction.env_random
        self.env_is_random = drew or has_sticky_actions(self.env.env.unwrapped)

    @torch.no_grad()
    def play_branch(self, action: Any, continuation: int, max_steps: int | None) -> Played:
        """Play the episode again to the step, take an action, and let the agent play on.

        :param action: the action, as the environment takes it
        :param continuation: number of the continuation: 0 has the random numbers of the episode as
            it went, any other has its own, which are the same for each action
        :param max_steps: largest number of steps after that step
        :raises ExplainError: if the environment does not play the same episode again
        """
        played = Played()
        self._draws = continuation == 0
        self._begin(played)
        for taken in self.whole.actions[: self.step]:
            self._require_same(played)
            self._take(played, taken)
            if played.ending != "cut":
                break
        self._require_same(played)
        junction = self.junction
        self.env.rng = copy.deepcopy(junction.rng)
        self.envs.lstm_states = (
            None if junction.lstm_states is None else junction.lstm_states.clone()
        )
        if continuation:
            own = [self.envs.seed, self.episode, self.step, continuation]
            self.env.rng, inner = map(np.random.default_rng, np.random.SeedSequence(own).spawn(2))
            if self.env_is_random:
                reseed(self.env.env.unwrapped, inner)
        self._take(played, action)
        while played.ending == "cut" and not self._is_enough(played, max_steps):
            self._take(played, self._choose()[1])
        return played

    def require_exact(self, played: Played) -> None:
        """Check that the branch of the agent's own action is the episode as it went.

        :param played: that branch, with the random numbers of the episode
        :raises ExplainError: if it differs
        """
        if played.digests != self.whole.digests or played.ending != self.whole.ending:
            pairs = zip(played.digests, self.whole.digests, strict=False)
            first = next((i for i, (a, b) in enumerate(pairs) if a != b), len(played.actions))
            raise self._say_different(first)

    def _require_same(self, played: Played) -> None:
        at = len(played.actions)
        if played.digests[at] != self.whole.digests[at] or played.ending != "cut":
            raise self._say_different(at)

    def _say_different(self, step: int) -> ExplainError:
        return ExplainError(
            f"{self.envs.env_name} played again from the same seed with the same actions differs "
            f"at step {step}: outcomes need an environment in which reset(seed=...) decides all "
            "that is random"
        )

    def _is_enough(self, played: Played, max_steps: int | None) -> bool:
        return max_steps is not None and len(played.actions) - self.step >= max_steps

    def _begin(self, played: Played) -> None:
        self.env.begin(self.episode)
        self._note(played)

    def _choose(self) -> tuple[Tensor, Any]:
        envs = self.envs
        held = {"lstm_states": envs.lstm_states, "action_masks": envs.action_masks()}
        inputs = {name: tensor for name, tensor in held.items() if tensor is not None}
        observations = envs.observations()
        scores = envs.agent.scores(observations, **inputs)
        action = envs.actions(observations, scores)[0]
        envs.lstm_states = envs.agent.next_lstm_states(observations, envs.lstm_states)
        return scores, action

    def _take(self, played: Played, action: Any) -> None:
        played.actions.append(action)
        outcome = self.env.step(action)
        if outcome.over:
            played.ending = "truncated" if outcome.truncated else "terminated"
        self._note(played)

    def _note(self, played: Played) -> None:
        earned = self.env.earned
        digest = hashlib.blake2b(np.float64(earned).tobytes(), digest_size=16)
        for key in sorted(self.envs.stacks):
            digest.update(np.ascontiguousarray(self.envs.stacks[key]).tobytes())
        at = len(played.actions)
        if self._draws and self._draw is not None and at in self.shown:
            played.frames[at] = np.array(self._draw())
        played.returns.append(earned)
        played.digests.append(digest.digest())

    def _read_env_random(self) -> Any:
        generator = getattr(self.env.env.unwrapped, "np_random", None)
        bits = getattr(generator, "bit_generator", None)
        return None if bits is None else str(bits.state)


def has_sticky_actions(env: gym.Env[Any, Any]) -> bool:
    """Whether an Atari emulator repeats actions by chance, from a random state of its own.

    :param env: environment without wrappers
    """
    ale = getattr(env, "ale", None)
    return ale is not None and ale.getFloat("repeat_action_probability") > 0


def reseed(env: gym.Env[Any, Any], random: np.random.Generator) -> None:
    """Give a running environment other random numbers, and nothing else.

    :param env: environment without wrappers, of Gymnasium or of ALE
    :param random: its new random numbers
    """
    env.np_random = random
    if has_sticky_actions(env):
        ale = env.ale  # type: ignore[attr-defined]
        state = ale.cloneState()  # which leaves out the random state
        ale.setInt("random_seed", int(random.integers(2**31)))
        env.load_game()  # type: ignore[attr-defined]
        ale.restoreState(state)
