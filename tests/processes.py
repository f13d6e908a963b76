"""Scripts in processes of their own, forked from one that has imported what all of them need."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: what takes seconds to import
LIBRARIES = [
    "accelerate", "ale_py", "captum.attr", "gymnasium", "imageio", "matplotlib.figure", "pandas",
    "sb3_contrib", "sb3_explain.agents.demo", "sb3_explain.explainers.learned.visionmask",
    "sb3_explain.states.collection", "scipy.stats", "skimage", "stable_baselines3",
    "torch._dynamo", "torch.utils.tensorboard", "zarr",
]  # fmt: skip


def preload() -> None:
    """Have the libraries in the server of forks, from which also SubprocVecEnv takes its workers.

    Python has one such server, and asks for the names when it starts it.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(LIBRARIES)


def run_in_fork(
    script: Path,
    arguments: Sequence[str] = (),
    *,
    folder: Path = ROOT,
    packages: Sequence[Path] = (ROOT,),
    timeout: float = 300,
) -> str:
    """Run a script, and return what it prints; what it imports and registers stays there.

    :param script: path of the script
    :param arguments: its arguments
    :param folder: its working directory
    :param packages: folders of packages beside those that are installed
    :param timeout: seconds after which it is killed
    """
    with tempfile.TemporaryDirectory() as said:
        process = start_in_fork(script, arguments, Path(said), folder=folder, packages=packages)
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
        out, err = (
            (Path(said) / name).read_text(encoding="utf-8", errors="replace")
            for name in ("out", "err")
        )
    assert process.exitcode == 0, f"exit code {process.exitcode}: {err[-2000:]}"
    return out


def start_in_fork(
    script: Path,
    arguments: Sequence[str],
    said: Path,
    *,
    folder: Path = ROOT,
    packages: Sequence[Path] = (ROOT,),
) -> BaseProcess:
    """Start a script as :func:`run_in_fork` does; what it prints is in files ``out`` and ``err``.

    :param script: path of the script
    :param arguments: its arguments
    :param said: folder of the two files
    :param folder: its working directory
    :param packages: folders of packages beside those that are installed
    """
    process = multiprocessing.get_context("forkserver").Process(
        target=_run,
        args=(script, list(arguments), folder, list(packages), (said / "out", said / "err")),
    )
    process.start()
    return process


def _run(
    script: Path,
    arguments: list[str],
    folder: Path,
    packages: list[Path],
    outputs: tuple[Path, Path],
) -> None:
    import torch

    torch.set_num_threads(1)  # the variable below is read when torch is imported
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    # what the script starts in turn
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(map(str, packages)),
        "OMP_NUM_THREADS": "1",
    }
    sys.argv = [str(script), *arguments]
    sys.path[:0] = [str(script.parent), *map(str, packages)]
    runpy.run_path(str(script), run_name="__main__")
