"""The date, machine and versions with which a result was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("sb3_explain", "torch", "stable_baselines3", "sb3_contrib", "gymnasium", "captum")


def describe_machine() -> dict[str, Any]:
    """Date, machine and versions of this run, as plain data."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "processor": find_processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
    }


def find_processor() -> str:
    """Name of the processor's model, which ``platform`` does not know on Linux."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
