"""Work that is done on request: in one thread, one after the other, and no longer than wanted."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

#: the largest number of questions that wait
MAX_WAITING = 256
#: bytes of answers that are kept
CACHE_BYTES = 2**25
#: seconds that the running work has to end when all is over
PATIENCE = 20.0
#: why there is no answer to what nobody wants to know any more
STOPPED = "stopped"


class StoppedWorkError(Exception):
    """Nobody wants the answer any more."""


class Job(Generic[K]):
    """A question on its way; whoever has :attr:`Queue.changed` may read it.

    :param question: what was asked
    """

    def __init__(self, question: K) -> None:
        self.question = question
        #: number of those who wait for the answer
        self.waiting = 0
        self.running = False
        #: number of forward passes so far, and of all, about; 0 while it is not known
        self.forwards, self.total = 0, 0
        self.answer: bytes | None = None
        #: why there is no answer
        self.failure = ""

    @property
    def over(self) -> bool:
        """Whether there is an answer, or will be none."""
        return self.answer is not None or bool(self.failure)


class Queue(Generic[K]):
    """Answers questions about an agent in one thread, in the order in which they come.

    Equal questions are answered once. One that nobody waits for any more is dropped; where it is
    being answered, that ends before the agent's next forward pass.

    :param agent: the agent, whose passes nobody else counts
    :param answer: answers a question
    :param count: counts the forward passes that an answer takes, about
    """

    def __init__(
        self, agent: Agent, answer: Callable[[K], bytes], count: Callable[[K], int]
    ) -> None:
        #: told whenever a job has changed
        self.changed = threading.Condition()
        self._agent, self._answer, self._count = agent, answer, count
        self._jobs: OrderedDict[K, Job[K]] = OrderedDict()
        self._cached: OrderedDict[K, bytes] = OrderedDict()
        self._current: Job[K] | None = None
        self._before = 0
        self._closed = False
        agent.before_pass = self._watch
        self._thread = threading.Thread(target=self._work, name="explaining", daemon=True)
        self._thread.start()

    def ask(self, question: K) -> Job[K]:
        """Ask; the job is answered already if the answer is kept. :meth:`leave` it at the end.

        :raises ExplainError: if too many questions wait
        """
        with self.changed:
            job = self._jobs.get(question)
            if job is None:
                job = Job(question)
                job.answer = self._cached.get(question)
                if job.over:
                    self._cached.move_to_end(question)
                    return job
                if len(self._jobs) >= MAX_WAITING:
                    raise ExplainError("too many maps are asked for at once: try again later")
                self._jobs[question] = job
                self.changed.notify_all()
            job.waiting += 1
            return job

    def leave(self, job: Job[K]) -> None:
        """Want an answer no more."""
        with self.changed:
            job.waiting -= 1
            if job.waiting <= 0 and not job.running and self._jobs.get(job.question) is job:
                del self._jobs[job.question]

    def count_before(self, job: Job[K]) -> int:
        """Count the questions that are answered before one."""
        return list(self._jobs.values()).index(job) if job.question in self._jobs else 0

    def close(self) -> None:
        """End what is running, and answer nothing more."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        while True:
            with self.changed:
                while not self._jobs and not self._closed:
                    self.changed.wait()
                if self._closed:
                    return
                job = next(iter(self._jobs.values()))
                job.running = True
                self.changed.notify_all()
            answer, failure = self._try(job)
            with self.changed:
                job.answer, job.failure = answer, failure
                job.running = False
                if failure == STOPPED and job.waiting > 0 and not self._closed:
                    continue  # somebody else has asked meanwhile
                del self._jobs[job.question]
                if answer is not None:
                    self._cached[job.question] = answer
                    self._forget()
                self.changed.notify_all()

    def _forget(self) -> None:
        """Forget the answers that nobody has asked for longest, where all take too much room."""
        while len(self._cached) > 1 and sum(map(len, self._cached.values())) > CACHE_BYTES:
            self._cached.popitem(last=False)

    def _try(self, job: Job[K]) -> tuple[bytes | None, str]:
        self._before, self._current = self._agent.forwards, job
        try:
            job.total = self._count(job.question)
            self._before = self._agent.forwards  # counting may take passes of its own
            return self._answer(job.question), ""
        except StoppedWorkError:
            return None, STOPPED
        except ExplainError as error:
            return None, str(error)
        except Exception as error:  # the next question may still be answered
            logger.warning("no map: %s: %s", type(error).__name__, one_line(error))
            return None, f"{type(error).__name__}: {one_line(error)}"
        finally:
            self._current = None

    def _watch(self) -> None:
        """Count the passes of the running job, and end it where nobody wants it."""
        job = self._current
        if job is None or threading.current_thread() is not self._thread:
            return
        with self.changed:
            if self._closed or job.waiting <= 0:
                raise StoppedWorkError
            forwards = self._agent.forwards - self._before
            if forwards != job.forwards:
                job.forwards = forwards
                self.changed.notify_all()
