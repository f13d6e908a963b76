"""Run commands one after another in one process of bounded memory; what each said, as JSON.

Reads a list of argument lists from standard input. Called by :func:`spoilt.run_commands`.
"""

import contextlib
import io
import json
import resource
import sys
import time
import traceback
from pathlib import Path

GIB = 2**30


def peak_rss():
    """The most bytes that this process has had in memory; getrusage counts its parent's too."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1]) * 1024


def run(arguments):
    from sb3_explain.cli import main

    said = io.StringIO()
    started = time.perf_counter()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
            code = "traceback"
    return {
        "code": code,
        "said": said.getvalue(),
        "seconds": time.perf_counter() - started,
        "peak": peak_rss(),
    }


def bound_memory():
    """Let this process take 2 GiB: what it has taken already, and the rest of these."""
    # what PyTorch maps but does not use is not counted
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = mapped + 2 * GIB - peak_rss()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    commands = json.load(sys.stdin)
    import sb3_explain.agents.loading.load
    import sb3_explain.cli.explain  # noqa: F401 - its memory is not the files'

    bound_memory()
    print(json.dumps([run(arguments) for arguments in commands]))
