"""States of a training, as its policy sees them, with each stacked frame stored once."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.live_env import read_live_env
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import SINGLE
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.labels import relabel

Array = NDArray[Any]


@dataclasses.dataclass
class Step:
    """Observations and actions of all environments of a training at one step.

    :param by_key: key -> (n_envs, ...) observations, in the policy's own layout
    :param records: name -> (n_envs, ...) arrays: ``actions``, ``lstm_states`` of a recurrent
        policy, ``action_masks`` of a maskable one
    :param ends: (n_envs,) whether the episode ends with this step
    :param rewards: (n_envs,) rewards of this step, not normalized; NaN if they are not known
    :param raw: the observations before VecNormalize, where it alone stands between both
    """

    by_key: dict[str, Array]
    records: dict[str, Array]
    ends: Array
    rewards: Array | float = np.nan
    raw: dict[str, Array] | None = None


def read_raw(model: BaseAlgorithm) -> dict[str, Array] | None:
    """Read what a model will act upon next, as it was before VecNormalize; ``None`` without it.

    :param model: model that is trained
    """
    normalized = model.get_vec_normalize_env()
    if normalized is None or not normalized.norm_obs:
        return None
    raw = normalized.get_original_obs()
    return raw if isinstance(raw, dict) else {SINGLE: raw}


def read_step(
    model: BaseAlgorithm, known: dict[str, Any], raw: dict[str, Array] | None = None
) -> Step:
    """Read the current step of a training.

    :param model: model that is trained
    :param known: ``locals`` of a callback in ``_on_step``, when the model's last observation is
        still the one it acted upon
    :param raw: what :func:`read_raw` returned before this step
    :raises ExplainError: if the algorithm does not show callbacks its observations, such as ARS
    """
    observations = model._last_obs
    if observations is None or "dones" not in known or "actions" not in known:
        raise ExplainError(
            f"{type(model).__name__} does not show callbacks its observations: explain the saved "
            "agent"
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
    normalized = model.get_vec_normalize_env()
    rewards = known.get("rewards", np.nan)
    if normalized is not None and normalized.norm_reward:
        rewards = normalized.get_original_reward()
    ends = np.asarray(known["dones"], dtype=bool)
    if raw is not None and any(raw[key].shape != seen.shape for key, seen in by_key.items()):
        raw = None  # frames are stacked, or axes moved, after they were normalized
    return Step(by_key, records, ends, np.asarray(rewards, dtype=np.float64), raw)


@dataclasses.dataclass
class Piece:
    """Consecutive states of one episode.

    :param env: number of the environment
    :param episode: number of the episode
    :param frames: key -> the frames of the first state's stack, then the newest of each later state
    :param records: name -> array, for each state
    """

    env: int
    episode: int
    frames: dict[str, list[Array]]
    records: list[dict[str, Array]]


class TrainingStates:
    """The last states of a training.

    They are kept as they were before VecNormalize, and normalized as the agent that is asked
    normalizes them, so that a state stays the same while statistics change. Stacked frames are kept
    as the policy saw them.

    :param n: smallest number of states to hold; older ones are dropped, a piece of an episode at a
        time
    :param n_stack: number of frames in an observation
    """

    def __init__(self, n: int, n_stack: int) -> None:
        self.n = n
        self.n_stack = n_stack
        self.pieces: deque[Piece] = deque()
        self._longest = max(1, n // 16)
        self._open: dict[int, Piece] = {}
        self._last: dict[int, dict[str, Array]] = {}
        self._n_states = self._n_episodes = 0
        self._episodes: dict[int, int] = {}
        self._raw = False

    def __len__(self) -> int:
        return self._n_states

    def add(self, step: Step, env: int, *, alone: bool = False) -> None:
        """Add the state of one environment.

        :param step: current step of the training
        :param env: number of the environment
        :param alone: whether the state counts as an episode of its own
        """
        # copies, since environments reuse their arrays; contiguous, for fast comparisons
        self._raw = step.raw is not None and self.n_stack == 1
        seen = step.raw if step.raw is not None and self._raw else step.by_key
        by_key = {name: np.array(observed[env], order="C") for name, observed in seen.items()}
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
        self._n_states += 1
        self._last[env] = by_key
        if alone or step.ends[env]:
            del self._open[env], self._episodes[env]
        elif len(piece.records) == self._longest:
            del self._open[env]
        while len(self.pieces) > 1 and len(self) - len(self.pieces[0].records) >= self.n:
            oldest = self.pieces.popleft()
            self._n_states -= len(oldest.records)
            if self._open.get(oldest.env) is oldest:  # what follows begins a new piece
                del self._open[oldest.env]

    def _split(self, observed: Array) -> list[Array]:
        """Split a stack into its frames, oldest first."""
        return [observed] if self.n_stack == 1 else np.split(observed, self.n_stack)

    def _follows(self, by_key: dict[str, Array], before: dict[str, Array]) -> bool:
        """Tell whether the stacks are the previous ones shifted by one frame."""
        if self.n_stack == 1:
            return True
        sizes = {name: len(observed) // self.n_stack for name, observed in by_key.items()}
        return all(
            np.array_equal(observed[: -sizes[name]], before[name][sizes[name] :])
            for name, observed in by_key.items()
        )

    def states(self, agent: Agent) -> StateDataset:
        """Return all states, labeled by an agent.

        The columns ``episode`` and ``piece`` number the episodes and their pieces, into which long
        episodes are divided.

        :param agent: the training's agent at some timestep
        :raises ExplainError: if there is no state yet
        """
        if not self.pieces:
            raise ExplainError("no state has been seen yet")
        lead = self.n_stack - 1
        lengths = [len(piece.records) for piece in self.pieces]
        stacked = {
            name: np.stack([f for p in self.pieces for f in p.frames[name]])
            for name in self.pieces[0].frames
        }
        normalizers = agent.normalizers if self._raw else {}
        frames = {
            name: torch.from_numpy(normalizers[name](each) if name in normalizers else each)
            for name, each in stacked.items()
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
        states = blank.with_columns(
            **{name: np.stack([record[name] for record in records]) for name in records[0]}
        )
        return relabel(agent, states)


class MonitorStates:
    """A fixed set of states, sampled evenly over the beginning of a training.

    :param n: number of states
    :param over: number of timesteps over which they are sampled
    :param start: timestep at which the sampling starts
    :param n_stack: number of frames in an observation
    """

    def __init__(self, n: int, over: int, start: int, n_stack: int) -> None:
        self._seen = TrainingStates(n, n_stack)
        # the first at once: a training may end before it has lasted for long
        self._due_timesteps = [start + round(i / n * over) for i in range(n)]

    def watch(self, step: Step, timesteps: int) -> None:
        """Add the states that are due.

        :param step: current step of the training
        :param timesteps: number of timesteps of the training so far
        """
        n_envs = len(step.ends)
        while self._due_timesteps and self._due_timesteps[0] <= timesteps:
            number = len(self._seen)
            self._due_timesteps.pop(0)
            self._seen.add(step, number % n_envs, alone=True)

    def __len__(self) -> int:
        return len(self._seen)

    def states(self, agent: Agent) -> StateDataset:
        """Return the states, labeled by ``agent``."""
        return self._seen.states(agent)


def take_snapshot(model: BaseAlgorithm, names: Mapping[str, Any] | None = None) -> Agent:
    """Copy the current agent, so that neither it nor the model can change the other.

    :param model: model that is trained
    :param names: ``action_names`` and ``feature_names`` instead of those of its environment
    """
    env = model.get_env()
    # Nothing plays this agent: whether its environment can be made again does not matter.
    recipe = read_live_env(model, env).recipe if env is not None else None
    agent = Agent.from_model(model, recipe=recipe, **(names or {}))
    agent.action_space = copy.deepcopy(agent.action_space)
    return agent
