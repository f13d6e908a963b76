"""examples/super_mario.py as it stands, if SB3_EXPLAIN_AGENTS names the folder of its data."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AIMS = {
    "accuracy": ">= 0.98", "deletion": "<= 0.10", "insertion": ">= 0.85", "sparseness": ">= 0.82",
    "local_lipschitz": None, "mask_area": None,
}  # fmt: skip


def run(record) -> None:
    data = Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1"
    if not (data / "policy.safetensors").exists():
        print("super mario: not run (SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1)")
        return
    example = Path(__file__).resolve().parents[1] / "examples" / "super_mario.py"
    with tempfile.TemporaryDirectory() as output:
        began = time.perf_counter()
        command = [sys.executable, str(example), "--data", str(data), "-o", output]
        subprocess.run(command, check=True)
        minutes = (time.perf_counter() - began) / 60
        measured = json.loads((Path(output) / "metrics.json").read_text())["explainers"]
    record("super_mario.minutes", minutes, "minutes", "<= 20")
    for metric, aim in AIMS.items():
        record(f"super_mario.{metric}", measured["visionmask"][metric]["mean"], "share", aim)
