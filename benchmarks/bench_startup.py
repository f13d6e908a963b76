"""Processor time until something can be done: imports and short commands, in turns.

What was measured is the median of five fresh processes each, user and system time together. The
files are in the system's cache: a first round is not counted.
"""

import resource
import subprocess
import sys
from statistics import median

N_ROUNDS = 5
SNIPPETS = {
    "host": ["-c", "import stable_baselines3"],
    "import": ["-c", "import sb3_explain"],
    "names": ["-c", "from sb3_explain import Agent, VisionMask, collect, evaluate, load_agent"],
    "help": ["-m", "sb3_explain", "--help"],
    "version": ["-m", "sb3_explain", "--version"],
    "mistyped": ["-m", "sb3_explain", "explian"],
}
#: exit codes other than 0
EXITS = {"mistyped": 2}
MOST_SECONDS = 0.5
MOST_OF_HOST = 1.15


def cpu_seconds(name: str) -> float:
    """User and system time of one fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *SNIPPETS[name]], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == EXITS.get(name, 0), done.stderr
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def run(record) -> None:
    rounds = [{name: cpu_seconds(name) for name in SNIPPETS} for _ in range(1 + N_ROUNDS)][1:]
    seconds = {name: median(times[name] for times in rounds) for name in SNIPPETS}
    record("startup.import_stable_baselines3", seconds["host"], "s")
    record("startup.import", seconds["import"], "s")
    record("startup.import_ratio", seconds["import"] / seconds["host"], "ratio",
           f"<= {MOST_OF_HOST}")  # fmt: skip
    record("startup.names_ratio", seconds["names"] / seconds["host"], "ratio", f"<= {MOST_OF_HOST}")
    for name in ("help", "version", "mistyped"):
        record(f"startup.{name}", seconds[name], "s", f"<= {MOST_SECONDS}")
