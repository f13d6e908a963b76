"""kill -9 at 20 random moments of collect (CartPole, Pong) and of fit: every one must survive.

The check is tests/test_resume.py with 20 kills a job instead of a few.
"""

import os
import subprocess
import sys
from pathlib import Path

N_KILLS = 20
JOBS = ("collect_cartpole", "collect_pong", "fit_visionmask")


def run(record) -> None:
    root = Path(__file__).resolve().parents[1]
    for job in JOBS:
        outcome = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "tests/test_resume.py", "-k", job],
            cwd=root,
            env={**os.environ, "SB3_EXPLAIN_KILLS": str(N_KILLS)},
        )
        survived = N_KILLS if outcome.returncode == 0 else 0
        record(f"resume.{job}.kills_survived", survived, "kills", f">= {N_KILLS}")
