"""Record the episodes that an agent plays, in the order of their numbers, into a store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.common.failures import describe_failure
from sb3_explain.common.files import write_json, writing_to
from sb3_explain.envs.failing import FailedEnvError, read_picture
from sb3_explain.envs.spaces import SINGLE
from sb3_explain.states.outcome import StepOutcome
from sb3_explain.states.rollouts import Rollout, Rollouts
from sb3_explain.states.store import Buffers, EpisodeWriter

Array = NDArray[Any]


class Collection:
    """The environments of one store, stepped together until it has enough states.

    :param envs: the environments, with the agent that plays
    :param folder: folder of the store
    :param settings: the store's settings, as :func:`begin_store` returns them
    :param n: number of states that the store shall hold
    :param lengths: numbers of states of the episodes that the store already has
    """

    def __init__(
        self,
        envs: Rollouts,
        folder: Path,
        settings: dict[str, Any],
        n: int,
        lengths: list[int],
    ) -> None:
        self.envs = envs
        self.agent = envs.agent
        self.folder = folder
        self.n = n
        self.n_committed = len(lengths)
        self.n_stored = sum(lengths)
        self.renders: bool = settings["rendered"]
        self.limited: bool = settings["max_per_episode"] > 0
        self.longest: int = settings["max_per_episode"] or n
        if envs.stored_stacks is not None:
            write_json(folder / "states.json", {**settings, "stored_stacks": envs.stored_stacks})
        #: (h, w, 3) shape of all rendered pictures, once there is one
        self.picture_shape: tuple[int, ...] | None = None
        self.writing = ThreadPoolExecutor(max_workers=1)
        self.recorders = [Recorder(self, env) for env in envs.each]
        for recorder in self.recorders:
            while recorder.next_episode < self.n_committed:
                recorder.next_episode += len(self.recorders)
        #: tasks that write episodes
        self.commits: list[Future[None]] = []
        #: episodes that are over, but wait until an earlier one is committed
        self.finished: dict[int, EpisodeWriter] = {}

    def run(self, advance: Callable[[int], Any]) -> None:
        """Step all environments until the store has ``n`` states.

        :param advance: called with the number of states that are sure to be stored, after each step
        """
        # Small batches gain nothing from threads, for which the writing thread would have to wait.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with writing_to(self.folder):
                self._begin_episodes()
                try:
                    while self._states_in_order() < self.n:
                        self._step(advance)
                except FailedEnvError:  # what was finished before stays
                    for commit in self.commits:
                        commit.result()
                    raise
                self._finish()
                advance(self.n_stored)
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

    def count_sure(self) -> int:
        """Count the states that will be stored even if each running episode is as long as can be.

        The store takes its states in the order of the episodes, and some that are played beside
        them are dropped; this number grows until it is ``n``.
        """
        playing = {r.episode: r.length for r in self.recorders if r.episode is not None}
        room, sure = self.n - self.n_stored, self.n_stored
        for number in range(self.n_committed, max([*playing, *self.finished], default=-1) + 1):
            over = self.finished.get(number)
            length = over.length if over is not None else playing.get(number, 0)
            sure += min(length, room)
            room -= min(over.length if over is not None else self.longest, room)
        return sure

    def _begin_episodes(self) -> None:
        """Begin episodes in idle environments, if those before them may have too few states."""
        for recorder in self.recorders:
            if recorder.episode is None and recorder.env.ready:
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
            recorder.record({name: column[row] for name, column in columns.items()})
        outcomes = envs.step(actions)
        for recorder in playing:
            recorder.conclude(outcomes[recorder.env.row])
        advance(self.count_sure())
        if any(recorder.episode is None for recorder in self.recorders):
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

    def __init__(self, collection: Collection, env: Rollout) -> None:
        self.collection = collection
        self.env = env
        self.screen = env.find_screen()
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

    def record(self, record: dict[str, Any]) -> None:
        """Store the current state, before the step: some environments draw the next one over it.

        :param record: arrays and numbers of the state by name, with ``actions`` among them
        """
        for key, observed in self.env.stored().items():
            record["frames" if key == SINGLE else f"frames.{key}"] = observed
        record["starts"] = self.env.starts
        if self.collection.renders:
            record["rgb"] = self._picture()
        self.writer.add(record)

    def conclude(self, outcome: StepOutcome) -> None:
        """Store what the step gave."""
        self.writer.add_outcome("rewards", np.float32(outcome.reward))
        self.writer.outcome = outcome
        if outcome.over or self.length == self.collection.longest:
            self.writer.hand_over()
            self.collection.finished[self.episode or 0] = self.writer
            self.env.episode = None

    def _picture(self) -> Array:
        collection = self.collection
        name = collection.envs.env_name
        try:
            drawn = self.screen()
        except Exception as error:  # the user's code may fail in any way
            raise FailedEnvError(
                f"frames of {name} cannot be rendered ({describe_failure(error)}): mend what it "
                "names, or collect with render=False"
            ) from error
        picture = read_picture(name, drawn, collection.picture_shape)
        collection.picture_shape = picture.shape
        return picture
