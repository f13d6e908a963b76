"""collect: play an agent in its environment and keep the states, resumably.

Episode number i is played from a seed that follows from (seed, i) alone, always on env
``i % n_envs``, in a batch of always ``n_envs`` rows. So it comes out the same bit for bit whenever
it is played, and a killed run goes on by playing its unfinished episodes again from their seeds.
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
from sb3_explain.common.files import sole_writer, writing_to
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.screen import find_screen
from sb3_explain.envs.spaces import SINGLE
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.rollouts import ZOO_EPSILON, ParallelEnv, ParallelEnvs, is_sampled_in_zoo
from sb3_explain.states.store import Buffers, EpisodeWriter, begin_store, resume_store

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
    """Play until ``n_states`` states are kept, or go on where an earlier call was stopped.

    :param agent: the agent that plays; it also labels every state with its greedy action
    :param env: gymnasium id or recipe; the agent's own when not given
    :param n_states: number of states; a larger one than last time appends, a smaller one changes
        nothing
    :param folder: of the Zarr store
    :param seed: of environments and of sampled actions
    :param behaviour: ``"zoo"`` (on Atari sampled, or epsilon-greedy for an agent of Q-values, else
        greedy), ``"greedy"``, ``"stochastic"``, or ``"epsilon"`` (greedy, but a random action with
        probability ``epsilon``)
    :param epsilon: probability of a random action
    :param max_per_episode: keep the first so many states of an episode, then begin the next; a
        50th of ``n_states``, at least 100, when not given. 0 for whole episodes
    :param n_envs: environments played side by side; chosen so that all end together when not given
    :param render: keep RGB frames for people to look at
    :param progress: show a bar
    :return: the states of the store
    :raises ExplainError: if the environment does not fit the agent, or the store is of another run
    """
    if behavior not in BEHAVIORS:
        raise unknown_name("behaviour", behavior, BEHAVIORS)
    if n_states < 1 or (n_envs or 1) < 1 or (max_per_episode or 0) < 0 or seed < 0:
        raise ExplainError(
            f"n_states={n_states}, n_envs={n_envs}, max_per_episode={max_per_episode}, "
            f"seed={seed}: give a positive number of states and environments, and no "
            "negative limit or seed"
        )
    if not 0 <= epsilon <= 1:
        raise ExplainError(f"epsilon={epsilon} is no probability")
    recipe = EnvRecipe(env) if isinstance(env, str) else env or agent.recipe
    if recipe is None:
        raise ExplainError("this agent knows no environment: name one with env=...")
    epsilon = epsilon if behavior == "epsilon" else 0.0
    if agent.view.value_based and behavior == "stochastic":
        raise ExplainError("Q-values are no probabilities: use behavior='epsilon'")
    if agent.view.value_based and behavior == "zoo" and is_sampled_in_zoo(recipe):
        behavior, epsilon = "epsilon", ZOO_EPSILON
    folder = Path(folder)
    limit = max(100, math.ceil(n_states / 50)) if max_per_episode is None else max_per_episode
    wanted = {
        "agent": agent.describe(),
        "environment": recipe.describe(),
        "seed": seed,
        "behaviour": behavior,
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
        settings = begin_store(folder, wanted, left_open)
        lengths = resume_store(folder, n_states)
        with progress_bar("collecting", n_states, "states", progress, done=sum(lengths)) as bar:
            if sum(lengths) < n_states:
                Collection(agent, recipe, folder, settings, n_states, lengths).run(bar.update)
    return StateDataset.open(folder)


def balance_envs(n: int, limit: int) -> int:
    """ParallelEnvs, at most 16, such that whole rounds of ``limit`` states make up ``n``."""
    if not limit:
        return 8
    episodes = math.ceil(n / limit)
    return math.ceil(episodes / math.ceil(episodes / 16))


class Collection:
    """The envs of one store, stepped together until enough states are kept.

    :param agent: who plays
    :param recipe: of the environments
    :param folder: of the store
    :param settings: the store's description
    :param n: number of states to reach
    :param lengths: of the episodes that the store already has
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
        self.kept = sum(lengths)
        self.renders: bool = settings["rendered"]
        self.limited: bool = settings["max_per_episode"] > 0
        self.longest: int = settings["max_per_episode"] or n
        n_envs: int = settings["n_envs"]
        self.envs = ParallelEnvs(
            agent,
            recipe,
            n_envs,
            seed=settings["seed"],
            sampled=settings["behaviour"] == "stochastic"
            or (settings["behaviour"] == "zoo" and is_sampled_in_zoo(recipe)),
            epsilon=settings["epsilon"],
            render_mode="rgb_array" if self.renders else None,
        )
        self.writing = ThreadPoolExecutor(max_workers=1)
        self.recorders = [Recorder(self, env) for env in self.envs.each]
        for recorder in self.recorders:
            while recorder.next_episode < self.n_committed:
                recorder.next_episode += n_envs
        #: episodes on their way to disk
        self.commits: list[Future[None]] = []
        #: episodes that are over but wait for an earlier one
        self.finished: dict[int, EpisodeWriter] = {}

    def run(self, advance: Callable[[int], Any]) -> None:
        """Step all envs until ``n`` states are kept; tell ``advance`` of every new state."""
        # Small batches gain nothing from threads, which would keep the writing thread waiting.
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
        """States at hand without a gap: kept, finished, and of the first unfinished episode."""
        total, number = self.kept, self.n_committed
        while number in self.finished:
            total += self.finished[number].length
            number += 1
        return total + sum(r.length for r in self.recorders if r.episode == number)

    def _begin_episodes(self) -> None:
        """Begin, on idle envs, the episodes that the ones before them may leave necessary."""
        for recorder in self.recorders:
            if recorder.episode is None:
                number = recorder.next_episode
                before = self.kept
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
        return self.kept + self.finished[self.n_committed].length <= self.n

    def _commit(self, writer: EpisodeWriter, *, cut: bool) -> None:
        length = min(writer.length, self.n - self.kept)
        # Without a limit an episode of n states was stopped by n, not by its own end.
        stopped = not self.limited and writer.length == self.longest
        whole = not (cut or stopped or length < writer.length)
        self.commits.append(writer.commit(cut=not whole, length=length))
        self.kept += length
        self.n_committed += 1

    def _finish(self) -> None:
        """Keep of the last episodes, in order, what makes exactly ``n`` states; drop the rest."""
        playing = {r.episode: r.writer for r in self.recorders if r.episode is not None}
        for number, writer in sorted({**self.finished, **playing}.items()):
            if self.kept < self.n:
                self._commit(writer, cut=number in playing)
            else:
                self.commits.append(writer.discard())
        for commit in self.commits:
            commit.result()


class Recorder:
    """Writes down what happens on one env: the episodes row, row + n_envs, ..."""

    writer: EpisodeWriter

    def __init__(self, collection: Collection, env: ParallelEnv) -> None:
        self.collection = collection
        self.env = env
        self.screen = find_screen(env.env)
        self.next_episode = env.row
        self.buffers = Buffers()

    @property
    def episode(self) -> int | None:
        """Number of the episode being played, ``None`` while idle."""
        return self.env.episode

    @property
    def length(self) -> int:
        """States of the current episode so far."""
        return self.writer.length

    def begin(self) -> None:
        """Reset the environment to the start of the env's next episode."""
        collection, episode = self.collection, self.next_episode
        self.next_episode += len(collection.recorders)
        self.writer = EpisodeWriter(collection.folder, episode, collection.writing, self.buffers)
        self.env.begin(episode)

    def step(self, record: dict[str, Any]) -> None:
        """Write the current state down, then act as it says."""
        for key, observed in self.env.frame.items():
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
