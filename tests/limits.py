"""Run what may be hostile in a process of its own, with little memory and time."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sb3_explain.common.errors import ExplainError
from tests.mutations import require_line


def refuse_within(function: Callable[[], Any], *, n_bytes: int = 2**30, seconds: int = 20) -> str:
    """The line by which a function refuses, with at most so much more memory, in so many seconds.

    :param function: function that has to raise an :class:`ExplainError`
    :param n_bytes: address space beyond what the process has
    :param seconds: seconds until it is stopped
    """
    # forked, since importing torch takes longer than most of these
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(function, n_bytes, seconds, sending))
    process.start()
    sending.close()
    try:
        outcome, text = receiving.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"the process ended with {process.exitcode}") from None
    process.join()
    assert outcome == "refused", f"{outcome}: {text}"
    require_line(text)
    return str(text)


def _run(function: Callable[[], Any], n_bytes: int, seconds: int, sending: Connection) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    try:
        function()
    except ExplainError as error:
        sending.send(("refused", str(error)))
    except BaseException:
        sending.send(("raised", traceback.format_exc()[-3000:]))
    else:
        sending.send(("accepted", ""))
    os._exit(0)
