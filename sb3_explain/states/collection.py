"""collect: play an agent in its environment and keep the states, resumably.

The seed of episode i is a function of (seed, i) alone; the episode is played in environment
``i % n_envs``, in a batch that always has ``n_envs`` rows. It is therefore the same to the last bit
whenever it is played, and a killed run goes on by playing its unfinished episodes again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import sole_writer, write_json, writing_to
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.screen import find_screen
from sb3_explain.envs.spaces import SINGLE, spaces_by_key
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.episodes import require_room
from sb3_explain.states.rollouts import (
    ZOO_EPSILON,
    ParallelEnv,
    ParallelEnvs,
    find_recipe,
    is_sampled_in_zoo,
)
from sb3_explain.states.store import (
    Buffers,
    EpisodeWriter,
    begin_store,
    resume_store,
    withdraw_store,
)

Array = NDArray[Any]

BEHAVIORS = ("zoo", "greedy", "stochastic", "epsilon")


@check_arguments
def collect(
    agent: Agent,
    env: str | EnvRecipe | None = None,
    n_states: int = 10_000,
    *,
    folder: str | Path,
    seed: int = 0,
    behavior: str = "zoo",
    epsilon: float = 0.1,
    max_per_episode: int | None = None,
    n_envs: int | None = None,
    render: bool = True,
    progress: bool = True,
) -> StateDataset:
    """Play until ``n_states`` states are stored, or go on where an earlier call was stopped.

    >>> from sb3_explain import collect
    >>> states = collect(agent, n_states=60, folder=folder, progress=False)
    >>> len(states), states.observations([0, 1]).shape
    (60, torch.Size([2, 4]))

    :param agent: the agent that plays; it also labels every state with its greedy action
    :param env: Gymnasium id or recipe of the environment; the agent's own when not given
    :param n_states: number of states that the store shall hold; a larger number than last time
        appends states, a smaller one changes nothing
    :param folder: folder of the Zarr store, which is created or continued
    :param seed: random seed of the environments and of sampled actions, at least 0
    :param behavior: who chooses the actions: ``"zoo"`` (as RL Zoo plays: on Atari and MiniGrid
        sampled, or epsilon-greedy for an agent of Q-values, else greedy), ``"greedy"``,
        ``"stochastic"`` (sampled), or ``"epsilon"`` (greedy, but a random action with probability
        ``epsilon``)
    :param epsilon: probability of a random action, in [0, 1], for ``behavior="epsilon"``
    :param max_per_episode: the first so many states of an episode are stored, then the next one
        begins; 0 stores whole episodes. A 50th of ``n_states``, at least 100, when not given
    :param n_envs: number of environments that are played in parallel; chosen so that all finish
        together when not given
    :param render: store RGB frames as well, for people to look at
    :param progress: show a progress bar on standard error
    :return: the states of the store
    :raises ExplainError: if the environment does not fit the agent, a number is out of range, or
        the store belongs to a run of other settings, or the states would take more memory than
        four times the limit of a file (``SB3_EXPLAIN_MAX_BYTES``)
    """
    if behavior not in BEHAVIORS:
        raise unknown_name("behavior", behavior, BEHAVIORS)
    if n_states < 1 or (n_envs or 1) < 1 or (max_per_episode or 0) < 0 or seed < 0:
        raise ExplainError(
            f"n_states={n_states}, n_envs={n_envs}, max_per_episode={max_per_episode}, "
            f"seed={seed}: give a positive number of states and environments, and no "
            "negative limit or seed"
        )
    if not 0 <= epsilon <= 1:
        raise ExplainError(f"epsilon={epsilon} is no probability")
    recipe = find_recipe(agent, env)
    epsilon = epsilon if behavior == "epsilon" else 0.0
    if agent.view.value_based and behavior == "stochastic":
        raise ExplainError("Q-values are no probabilities: use behavior='epsilon'")
    if agent.view.value_based and behavior == "zoo" and is_sampled_in_zoo(recipe):
        behavior, epsilon = "epsilon", ZOO_EPSILON
    folder = Path(folder)
    limit = max(100, math.ceil(n_states / 50)) if max_per_episode is None else max_per_episode
    by_key: dict[str, Any] = spaces_by_key(agent.observation_space)
    of_stack = sum(math.prod(key.shape) * key.dtype.itemsize for key in by_key.values())
    # now, not when they have been played and are read
    require_room(n_states * of_stack // recipe.frame_stack, f"{n_states} states")
    described = {
        "agent": agent.describe(),
        "environment": recipe.describe(),
        "seed": seed,
        "behavior": behavior,
        "epsilon": epsilon,
        "max_per_episode": limit,
        "n_envs": n_envs or balance_envs(n_states, limit),
        "n_stack": recipe.frame_stack,
        "rendered": render,
        "format": 1,
    }
    decided = {"max_per_episode": max_per_episode, "n_envs": n_envs}
    left_open = {name for name, value in decided.items() if value is None}
    with sole_writer(folder):
        settings = begin_store(folder, described, left_open)
        lengths = resume_store(folder, n_states)
        done = sum(lengths)
        try:
            missing = done < n_states
            # before the bar, which a refusal would leave on the screen
            collection = (
                Collection(agent, recipe, folder, settings, n_states, lengths) if missing else None
            )
            with progress_bar("collecting", n_states, "states", progress, done=done) as bar:
                if collection is not None:
                    collection.run(bar.update)
        except ExplainError:
            withdraw_store(folder)
            raise
    return StateDataset.open(folder)


def balance_envs(n: int, limit: int) -> int:
    """Number of parallel environments that finish together, at most 16.

    :param n: number of states to collect
    :param limit: states that are stored of each episode; 0 for whole episodes
    """
    if not limit:
        return 8
    episodes = math.ceil(n / limit)
    return math.ceil(episodes / math.ceil(episodes / 16))


class Collection:
    """The environments of one store, stepped together until it has enough states.

    :param agent: the agent that plays
    :param recipe: recipe of the environments
    :param folder: folder of the store
    :param settings: the store's settings, as :func:`begin_store` returns them
    :param n: number of states that the store shall hold
    :param lengths: numbers of states of the episodes that the store already has
    """

    def __init__(
        self,
        agent: Agent,
        recipe: EnvRecipe,
        folder: Path,
        settings: dict[str, Any],
        n: int,
        lengths: list[int],
    ) -> None:
        self.agent = agent
        self.folder = folder
        self.n = n
        self.n_committed = len(lengths)
        self.n_stored = sum(lengths)
        self.renders: bool = settings["rendered"]
        self.limited: bool = settings["max_per_episode"] > 0
        self.longest: int = settings["max_per_episode"] or n
        n_envs: int = settings["n_envs"]
        self.envs = ParallelEnvs(
            agent,
            recipe,
            n_envs,
            seed=settings["seed"],
            sampled=settings["behavior"] == "stochastic"
            or (settings["behavior"] == "zoo" and is_sampled_in_zoo(recipe)),
            epsilon=settings["epsilon"],
            render_mode="rgb_array" if self.renders else None,
        )
        layout = self.envs.layout
        if layout.stores_stacks:
            write_json(folder / "states.json", {**settings, "stored_stacks": layout.n_frames})
        self.writing = ThreadPoolExecutor(max_workers=1)
        self.recorders = [Recorder(self, env) for env in self.envs.each]
        for recorder in self.recorders:
            while recorder.next_episode < self.n_committed:
                recorder.next_episode += n_envs
        #: tasks that write episodes
        self.commits: list[Future[None]] = []
        #: episodes that are over, but wait until an earlier one is committed
        self.finished: dict[int, EpisodeWriter] = {}

    def run(self, advance: Callable[[int], Any]) -> None:
        """Step all environments until the store has ``n`` states.

        :param advance: called with the number of new states after each step
        """
        # Small batches gain nothing from threads, for which the writing thread would have to wait.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with writing_to(self.folder):
                self._begin_episodes()
                while self._states_in_order() < self.n:
                    self._step(advance)
                self._finish()
        finally:
            torch.set_num_threads(threads)
            self.writing.shutdown(wait=True, cancel_futures=True)
            self.envs.close()

    def _states_in_order(self) -> int:
        """Number of states without a gap: stored, finished, and of the first unfinished episode."""
        total, number = self.n_stored, self.n_committed
        while number in self.finished:
            total += self.finished[number].length
            number += 1
        return total + sum(r.length for r in self.recorders if r.episode == number)

    def _begin_episodes(self) -> None:
        """Begin episodes in idle environments, if those before them may have too few states."""
        for recorder in self.recorders:
            if recorder.episode is None:
                number = recorder.next_episode
                before = self.n_stored
                before += sum(w.length for i, w in self.finished.items() if i < number)
                for other in self.recorders:
                    if other.episode is not None and other.episode < number:
                        before += self.longest if self.limited else other.length
                if before < self.n:
                    recorder.begin()

    @torch.no_grad()
    def _step(self, advance: Callable[[int], Any]) -> None:
        agent, envs = self.agent, self.envs
        observations, lstm_states, masks = (
            envs.observations(),
            envs.lstm_states,
            envs.action_masks(),
        )
        scores, values = agent.scores_and_values(observations, lstm_states, masks)
        labels = agent.act_on(scores) - agent.first_action
        actions = envs.actions(observations, scores)
        envs.lstm_states = agent.next_lstm_states(observations, lstm_states)
        columns: dict[str, Array] = {
            "actions": actions,
            "greedy": labels,
            "scores": scores.cpu().numpy(),
            "values": values.cpu().numpy(),
        }
        if lstm_states is not None:
            columns["lstm_states"] = lstm_states.cpu().numpy()
        if masks is not None:
            columns["action_masks"] = masks.cpu().numpy()
        playing = [recorder for recorder in self.recorders if recorder.episode is not None]
        for recorder in playing:
            row = recorder.env.row
            recorder.step({name: column[row] for name, column in columns.items()})
        advance(len(playing))
        if any(recorder.episode is None for recorder in playing):
            while self.commits and self.commits[0].done():
                self.commits.pop(0).result()
            while self.n_committed in self.finished and self._room():
                self._commit(self.finished.pop(self.n_committed), cut=False)
            self._begin_episodes()

    def _room(self) -> bool:
        return self.n_stored + self.finished[self.n_committed].length <= self.n

    def _commit(self, writer: EpisodeWriter, *, cut: bool) -> None:
        length = min(writer.length, self.n - self.n_stored)
        # Without a limit an episode of n states was stopped by n, not by its own end.
        stopped = not self.limited and writer.length == self.longest
        whole = not (cut or stopped or length < writer.length)
        self.commits.append(writer.commit(cut=not whole, length=length))
        self.n_stored += length
        self.n_committed += 1

    def _finish(self) -> None:
        """Store the last episodes, in order, up to exactly ``n`` states; drop the rest."""
        playing = {r.episode: r.writer for r in self.recorders if r.episode is not None}
        for number, writer in sorted({**self.finished, **playing}.items()):
            if self.n_stored < self.n:
                self._commit(writer, cut=number in playing)
            else:
                self.commits.append(writer.discard())
        for commit in self.commits:
            commit.result()


class Recorder:
    """Records the episodes row, row + n_envs, ... of one environment.

    :param collection: the collection that the environment belongs to
    :param env: the environment
    """

    writer: EpisodeWriter

    def __init__(self, collection: Collection, env: ParallelEnv) -> None:
        self.collection = collection
        self.env = env
        self.screen = find_screen(env.env)
        self.next_episode = env.row
        self.buffers = Buffers()

    @property
    def episode(self) -> int | None:
        """Number of the episode that is being played; ``None`` while idle."""
        return self.env.episode

    @property
    def length(self) -> int:
        """Number of states of the current episode so far."""
        return self.writer.length

    def begin(self) -> None:
        """Reset the environment to the start of its next episode."""
        collection, episode = self.collection, self.next_episode
        self.next_episode += len(collection.recorders)
        self.writer = EpisodeWriter(collection.folder, episode, collection.writing, self.buffers)
        self.env.begin(episode)

    def step(self, record: dict[str, Any]) -> None:
        """Store the current state, then take the action that is recorded with it.

        :param record: arrays and numbers of the state by name, with ``actions`` among them
        """
        for key, observed in self.env.stored().items():
            record["frames" if key == SINGLE else f"frames.{key}"] = observed
        record["starts"] = self.env.starts
        if self.collection.renders:
            record["rgb"] = self._picture()
        # before the step: some environments draw the next frame into the same array
        self.writer.add(record)
        reward, over = self.env.step(record["actions"])
        self.writer.add_outcome("rewards", np.float32(reward))
        if over or self.length == self.collection.longest:
            self.writer.hand_over()
            self.collection.finished[self.episode or 0] = self.writer
            self.env.episode = None

    def _picture(self) -> Array:
        try:
            return np.asarray(self.screen(), dtype=np.uint8)
        except (gym.error.Error, NotImplementedError, TypeError, ImportError) as error:
            raise ExplainError(
                f"frames cannot be rendered ({error}): install what it names, or collect with "
                "render=False (on the command line: --no-render)"
            ) from error
