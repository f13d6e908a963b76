"""States that a training passes through, as its policy sees them, with stacked frames kept once."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.action_names import find_action_names
from sb3_explain.envs.spaces import SINGLE, spaces_by_key
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.labels import relabel

Array = NDArray[Any]


@dataclasses.dataclass
class Step:
    """What all environments of a training show the policy at one step, and what it does.

    :param by_key: (n_envs, ...) observations by key, in the policy's own layout
    :param records: (n_envs, ...) arrays: ``actions``, and ``lstm_states`` of a recurrent policy,
        ``action_masks`` of a maskable one
    :param ends: (n_envs,) whether the episode ends with this step
    """

    by_key: dict[str, Array]
    records: dict[str, Array]
    ends: Array


def read_step(model: BaseAlgorithm, known: dict[str, Any]) -> Step:
    """The present step of a training.

    :param model: that learns
    :param known: ``locals`` of a callback at a step: the observation acted upon is still the last
    :raises ExplainError: if the algorithm does not tell its callbacks what it sees, as ARS
    """
    observations = model._last_obs
    if observations is None or "dones" not in known or "actions" not in known:
        raise ExplainError(
            f"{type(model).__name__} does not tell callbacks what it sees: explain the saved agent"
        )
    by_key = observations if isinstance(observations, dict) else {SINGLE: observations}
    records = {"actions": np.asarray(known.get("clipped_actions", known["actions"]))}
    if known.get("action_masks") is not None:
        records["action_masks"] = np.asarray(known["action_masks"])
    lstm_states = getattr(model, "_last_lstm_states", None)
    if lstm_states is not None:
        # (h, c) of the actor and of the critic, each (layers, n_envs, size), as Agent has them
        states = torch.stack([*lstm_states.pi, *lstm_states.vf]).permute(2, 0, 1, 3)
        fresh = torch.as_tensor(model._last_episode_starts, device=states.device)
        states = states * ~fresh.bool().reshape(-1, 1, 1, 1)
        records["lstm_states"] = states.detach().cpu().numpy()
    return Step(by_key, records, np.asarray(known["dones"], dtype=bool))


@dataclasses.dataclass
class Piece:
    """Neighbouring states of one episode.

    :param env: number of the environment
    :param episode: its number
    :param frames: by key, the frames of the first state's stack, then the newest of each other
    :param records: of each state
    """

    env: int
    episode: int
    frames: dict[str, list[Array]]
    records: list[dict[str, Array]]


class TrainingStates:
    """The last states that were added, at least ``n`` of them.

    :param n: of states to keep; older ones are forgotten, a piece of an episode at a time
    :param n_stack: frames in an observation
    """

    def __init__(self, n: int, n_stack: int) -> None:
        self.n = n
        self.n_stack = n_stack
        self.pieces: deque[Piece] = deque()
        self._longest = max(1, n // 16)
        self._open: dict[int, Piece] = {}
        self._last: dict[int, dict[str, Array]] = {}
        self._n_kept = self._n_episodes = 0
        self._episodes: dict[int, int] = {}

    def __len__(self) -> int:
        return self._n_kept

    def add(self, step: Step, env: int, *, alone: bool = False) -> None:
        """Keep what one environment shows.

        :param step: of the training
        :param env: number of the environment
        :param alone: the state is an episode of its own
        """
        # copies, for environments draw into their arrays; in one piece, to be compared fast
        by_key = {
            name: np.array(observed[env], order="C") for name, observed in step.by_key.items()
        }
        record = {name: column[env] for name, column in step.records.items()}
        piece = None if alone else self._open.get(env)
        if piece is None or not self._follows(by_key, self._last[env]):
            if alone or env not in self._episodes:
                self._episodes[env] = self._n_episodes
                self._n_episodes += 1
            stacks = {name: self._split(observed) for name, observed in by_key.items()}
            piece = Piece(env, self._episodes[env], stacks, [])
            self.pieces.append(piece)
            self._open[env] = piece
        else:
            for name, observed in by_key.items():
                piece.frames[name].append(self._split(observed)[-1].copy())
        piece.records.append({name: np.array(part) for name, part in record.items()})
        self._n_kept += 1
        self._last[env] = by_key
        if alone or step.ends[env]:
            del self._open[env], self._episodes[env]
        elif len(piece.records) == self._longest:
            del self._open[env]
        while len(self.pieces) > 1 and len(self) - len(self.pieces[0].records) >= self.n:
            oldest = self.pieces.popleft()
            self._n_kept -= len(oldest.records)
            if self._open.get(oldest.env) is oldest:  # what follows begins a new piece
                del self._open[oldest.env]

    def _split(self, observed: Array) -> list[Array]:
        """The frames of a stack, oldest first."""
        return [observed] if self.n_stack == 1 else np.split(observed, self.n_stack)

    def _follows(self, by_key: dict[str, Array], before: dict[str, Array]) -> bool:
        """Whether the stacks are those before, moved on by one frame."""
        if self.n_stack == 1:
            return True
        sizes = {name: len(observed) // self.n_stack for name, observed in by_key.items()}
        return all(
            np.array_equal(observed[: -sizes[name]], before[name][sizes[name] :])
            for name, observed in by_key.items()
        )

    def states(self, agent: Agent) -> StateDataset:
        """All that is kept, as ``agent`` labels it.

        Of each state the columns ``episode`` and ``piece`` say to which it belongs: long episodes
        are kept in several pieces.

        :param agent: the training's agent at some time
        :raises ExplainError: if nothing was kept
        """
        if not self.pieces:
            raise ExplainError("no state has been seen yet")
        lead = self.n_stack - 1
        lengths = [len(piece.records) for piece in self.pieces]
        frames = {
            name: torch.from_numpy(np.stack([f for p in self.pieces for f in p.frames[name]]))
            for name in self.pieces[0].frames
        }
        episodes = [piece.episode for piece in self.pieces]
        starts = np.concatenate([np.arange(lead + length) == 0 for length in lengths])
        indices = np.concatenate([np.arange(lead + length) >= lead for length in lengths])
        records = [record for piece in self.pieces for record in piece.records]
        blank = StateDataset(
            frames,
            {
                "episode": np.repeat(episodes, np.add(lengths, lead)),
                "piece": np.repeat(np.arange(len(lengths)), np.add(lengths, lead)),
            },
            starts,
            n_stack=self.n_stack,
            indices=np.flatnonzero(indices),
        )
        kept = blank.with_columns(
            **{name: np.stack([record[name] for record in records]) for name in records[0]}
        )
        return relabel(agent, kept)


class MonitorStates:
    """A few states that a training always comes back to, met evenly over its beginning.

    :param n: states
    :param over: timesteps of the beginning
    :param begun: timesteps of the training so far
    :param n_stack: frames in an observation
    """

    def __init__(self, n: int, over: int, begun: int, n_stack: int) -> None:
        self._seen = TrainingStates(n, n_stack)
        self._moments = [begun + round((i + 0.5) / n * over) for i in range(n)]

    def watch(self, step: Step, timesteps: int) -> None:
        """Keep states as long as the beginning lasts.

        :param timesteps: of the training so far
        """
        n_envs = len(step.ends)
        while self._moments and self._moments[0] <= timesteps:
            number = len(self._seen)
            self._moments.pop(0)
            self._seen.add(step, number % n_envs, alone=True)

    def __len__(self) -> int:
        return len(self._seen)

    def states(self, agent: Agent) -> StateDataset:
        """The states, as ``agent`` labels them."""
        return self._seen.states(agent)


def snapshot_of(model: BaseAlgorithm) -> Agent:
    """The agent as it is now, apart from the model: neither can change the other."""
    env = model.get_env()
    inner = env.unwrapped if env is not None else None
    names = None
    if isinstance(inner, DummyVecEnv) and isinstance(model.action_space, spaces.Discrete):
        first = inner.envs[0]
        names = find_action_names(
            first.spec.id if first.spec else "", int(model.action_space.n), first
        )
    agent = Agent.from_model(model, action_names=names)
    by_key = spaces_by_key(agent.observation_space).values()
    if any(len(observed.shape or ()) not in (1, 3) for observed in by_key):
        agent.n_stack = 1  # stacked along another axis than the first
    agent.action_space = copy.deepcopy(agent.action_space)
    return agent
