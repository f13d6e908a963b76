"""kill -9 at random moments, the same command again: equal, bit for bit, to an unbroken run."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from tests.toys import dot_agent, dot_states

N_KILLS = int(os.environ.get("SB3_EXPLAIN_KILLS", "6"))


def collect_cartpole(folder: Path) -> None:
    from stable_baselines3 import PPO

    from sb3_explain.agents.agent import Agent
    from sb3_explain.envs.recipe import EnvRecipe

    torch.set_num_threads(1)
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=1, device="cpu")
    agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))
    collect(
        agent, n_states=600, folder=folder, behavior="stochastic", max_per_episode=30, n_envs=5,
        render=False, progress=False,
    )  # fmt: skip


def collect_pong(folder: Path) -> None:
    from sb3_explain.agents.demo import demo_agent

    torch.set_num_threads(1)
    collect(demo_agent(), n_states=40, folder=folder, max_per_episode=10, n_envs=2, progress=False)


def fit_visionmask(folder: Path) -> None:
    torch.set_num_threads(1)
    agent = dot_agent()
    train, validation, _ = dot_states(agent, 200).split((0.6, 0.2, 0.2))
    # a small network, so that a good part of the time goes into writing checkpoints
    explainer = VisionMask(agent, network_options={"width": 4})
    explainer.fit(
        train, validation, folder=folder, epochs=4, checkpoint_every=3, precision="no",
        progress=False,
    )  # fmt: skip
    explainer.save(folder / "result")


def compare_states(ours: Path, theirs: Path) -> None:
    a, b = StateDataset.open(ours), StateDataset.open(theirs)
    assert len(a) == len(b)
    everything = np.arange(len(a))
    assert torch.equal(a.observations(everything), b.observations(everything))
    for name in ("actions", "greedy", "scores", "values", "rewards", "episode"):
        np.testing.assert_array_equal(a.column(name), b.column(name), err_msg=name)
    if a.rendered([0]) is not None:
        np.testing.assert_array_equal(a.rendered(everything), b.rendered(everything))


def compare_fits(ours: Path, theirs: Path) -> None:
    for name in ("result/visionmask.safetensors", "best.safetensors"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


@pytest.mark.parametrize(
    ("job", "compare"),
    [
        (collect_cartpole, compare_states),
        (collect_pong, compare_states),
        (fit_visionmask, compare_fits),
    ],
    ids=lambda value: value.__name__,
)
def test_killed_runs_end_as_unbroken_ones(
    job: Callable[[Path], None], compare: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    if job is collect_pong:
        pytest.importorskip("ale_py")
    # What a job imports is imported once, in the server that the jobs are forked from.
    processes = multiprocessing.get_context("forkserver")

    def start(folder: Path) -> multiprocessing.process.BaseProcess:
        process = processes.Process(target=job, args=(folder,))
        process.start()
        return process

    warm_up = start(tmp_path / "warm")
    warm_up.join()
    began = time.monotonic()
    unbroken = start(tmp_path / "unbroken")
    unbroken.join()
    assert unbroken.exitcode == 0
    duration = time.monotonic() - began

    chance = random.Random(0)
    kills = 0
    while kills < N_KILLS:
        process = start(tmp_path / "killed")
        process.join(timeout=chance.uniform(0.1, duration))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
            process.join()
        else:
            assert process.exitcode == 0
            compare(tmp_path / "killed", tmp_path / "unbroken")
            shutil.rmtree(tmp_path / "killed")
    last = start(tmp_path / "killed")
    last.join()
    assert last.exitcode == 0
    compare(tmp_path / "killed", tmp_path / "unbroken")
