"""Where independent tasks run: in this process, in processes of this machine, or on Ray.

A task is a function of a module, so that another process finds it by name, and an item is plain
data. All backends give torch the same number of threads, which decides the last bits of a sum, so
that the result does not depend on where a task ran.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from sb3_explain.common.errors import ExplainError, unknown_name

BACKENDS = ("here", "processes", "ray")
#: number of times that a task is repeated after its process was killed
RETRIES = 3


@dataclass(frozen=True)
class Failure:
    """Why a task has no result.

    :param line: one line for the user
    :param details: the traceback, unless the user made a mistake
    """

    line: str
    details: str = ""


Task = Callable[[Any], Any]
#: (task, items) -> (item, Failure or None), in the order in which the items are done
Run = Callable[[Task, Sequence[Any]], Iterator[tuple[Any, Failure | None]]]


def attempt(task: Task, threads: int, item: Any) -> Failure | None:
    """Run a task on an item with some threads; return what goes wrong, in place of raising."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        task(item)
    except ExplainError as error:
        return Failure(str(error))
    except Exception as error:  # the other tasks are still worth their time
        line = next(iter(str(error).strip().splitlines()), "")
        return Failure(f"{type(error).__name__}: {line}", traceback.format_exc())
    finally:
        torch.set_num_threads(before)
    return None


def open_backend(
    name: str,
    *,
    jobs: int | None = None,
    threads: int = 1,
    address: str | None = None,
    gpus: int = 0,
) -> AbstractContextManager[Run]:
    """Open a backend, which runs tasks until its context manager ends.

    :param name: ``"here"``, ``"processes"`` or ``"ray"``
    :param jobs: number of tasks at once; as many as the processors, or the cluster, allow when not
        given
    :param threads: number of torch's threads in each task
    :param address: address of a Ray cluster; Ray is started on this machine when not given
    :param gpus: number of GPUs that Ray reserves for each task
    :raises ExplainError: for an unknown backend, or options that do not fit it
    """
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    if address is not None and name != "ray":
        raise ExplainError(f"backend {name!r} has no address: choose backend 'ray'")
    if name == "here" and (jobs or 1) > 1:
        raise ExplainError("one process runs one job at a time: choose backend 'processes'")
    if threads < 1 or (jobs is not None and jobs < 1):
        raise ExplainError(f"jobs={jobs}, threads={threads}: give at least 1")
    if name == "here":
        return run_here(threads)
    at_once = jobs or max(1, (os.cpu_count() or 1) // threads)
    if name == "processes":
        return run_in_processes(at_once, threads)
    return run_on_ray(address, jobs if address else at_once, threads, gpus)


@contextmanager
def run_here(threads: int) -> Iterator[Run]:
    """Run one task after the other."""

    def run(task: Task, items: Sequence[Any]) -> Iterator[tuple[Any, Failure | None]]:
        for item in items:
            yield item, attempt(task, threads, item)

    yield run


@contextmanager
def run_in_processes(jobs: int, threads: int) -> Iterator[Run]:
    """Run up to ``jobs`` tasks at once; repeat those whose process was killed."""
    others = set(multiprocessing.active_children())
    pool = start_pool(jobs)

    def run(task: Task, items: Sequence[Any]) -> Iterator[tuple[Any, Failure | None]]:
        nonlocal pool
        waiting = deque(range(len(items)))
        running: dict[Future[Failure | None], int] = {}
        killed: Counter[int] = Counter()
        while waiting or running:
            # Submit no more than can run, so that a broken pool has only lost running tasks.
            with suppress(BrokenProcessPool), ignore_interrupts():
                while waiting and len(running) < jobs:
                    running[pool.submit(attempt, task, threads, items[waiting[0]])] = waiting[0]
                    waiting.popleft()
            done = wait(running, return_when=FIRST_COMPLETED).done
            if not running or any(map(is_lost, done)):
                done = wait(running).done  # a broken pool ends all that it had
                pool.shutdown()
                pool = start_pool(jobs)
            for future in done:
                i = running.pop(future)
                killed[i] += is_lost(future)
                if not is_lost(future):
                    yield items[i], future.result()
                elif killed[i] > RETRIES:
                    yield items[i], Failure(f"its process was killed {killed[i]} times")
                else:  # after the others, which may not be the cause
                    waiting.append(i)

    try:
        yield run
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def start_pool(jobs: int) -> ProcessPoolExecutor:
    """Start a pool of fresh processes: a fork of this one would inherit locks of torch's threads.

    Linux forks them from a server that has imported the libraries; elsewhere each imports them.
    """
    method = "forkserver" if sys.platform == "linux" else "spawn"
    if method == "forkserver":
        multiprocessing.set_forkserver_preload(["sb3_explain.workflows.benchmark.steps"])
    return ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context(method),
        initializer=begin_worker,
        # the server has the environment of the time when it was started
        initargs=(dict(os.environ),),
    )


def is_lost(future: Future[Any]) -> bool:
    """Return whether the process of a task, or another one of its pool, was killed."""
    return isinstance(future.exception(), BrokenProcessPool)


def begin_worker(environ: dict[str, str]) -> None:
    """Take the parent's environment, and end when it is killed: nobody waits for a result then."""
    os.environ |= environ
    parent = multiprocessing.parent_process()
    assert parent is not None
    # tqdm's own lock is a semaphore of the system, which outlives a worker that is killed.
    tqdm.set_lock(threading.RLock())

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def ignore_interrupts() -> Iterator[None]:
    """Let processes that are started in the context ignore Ctrl-C; their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def run_on_ray(address: str | None, jobs: int | None, threads: int, gpus: int) -> Iterator[Run]:
    """Run as many tasks at once as Ray has processors for; Ray repeats lost ones itself."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise ExplainError("Ray is not installed: pip install 'sb3_explain[ray]'") from error
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    mine = not ray.is_initialized()
    if mine:
        # A Ray that is started here reports no usage.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local = address == "local"
        try:
            require_listener(address)
            ray.init(
                address,
                num_cpus=(jobs or 1) * threads if local else None,
                include_dashboard=False if local else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except OSError as error:  # ConnectionError is one
            raise ExplainError(
                f"no Ray answers at {address!r}: start one with `ray start --head`, and give its "
                "address; both sides need the same token (RAY_AUTH_MODE), or none"
            ) from error
    remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)(attempt)

    def run(task: Task, items: Sequence[Any]) -> Iterator[tuple[Any, Failure | None]]:
        waiting = deque(items)
        running: dict[Any, Any] = {}
        while waiting or running:
            while waiting and len(running) < (jobs or len(items)):
                item = waiting.popleft()
                running[remote.remote(task, threads, item)] = item
            for future in ray.wait(list(running))[0]:
                try:
                    failure = ray.get(future)
                except ray.exceptions.RayError as error:  # killed more often than RETRIES
                    failure = Failure(f"{type(error).__name__}: {' '.join(str(error).split())}")
                yield running.pop(future), failure

    try:
        if ray.cluster_resources().get("GPU", 0) < gpus:
            raise ExplainError("Ray has no GPU: load the agents with device 'cpu'")
        yield run
    finally:
        if mine:
            ray.shutdown()


def require_listener(address: str) -> None:
    """Raise an OSError if nothing listens at ``host:port``, where Ray would wait for long."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
