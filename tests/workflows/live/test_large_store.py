"""A store of a million states is served with the memory of a few."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr
from stable_baselines3 import PPO

from sb3_explain import Agent
from sb3_explain.states.store import pack

N_EPISODES, LENGTH = 1000, 1000
#: megabytes by which the server may grow, whatever is asked: parts that are kept are 64 of them
GROWTH = 160


def write_store(folder, agent, n_episodes=N_EPISODES, length=LENGTH):
    """Write episodes of CartPole's form, which nobody has played."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    described = {"agent": agent.describe(), "n_stack": 1, "rendered": False, "max_per_episode": 0}
    (folder / "states.json").write_text(json.dumps(described))
    for number in range(n_episodes):
        scores = rng.normal(size=(length, 2)).astype(np.float32)
        rows, fields = pack({
            "frames": rng.normal(size=(length, 4)).astype(np.float32),
            "starts": np.arange(length) == 0,
            "scores": scores,
            "values": rng.normal(size=length).astype(np.float32),
            "greedy": scores.argmax(1),
            "actions": scores.argmax(1),
            "rewards": np.full(length, number / length, np.float32),
        })  # fmt: skip
        attributes = {"length": length, "cut": False, "over": True, "truncated": False}
        group = zarr.open_group(folder / f"episode_{number:06d}", mode="w", attributes=attributes)
        group.create_array("columns", data=rows, chunks=rows.shape, attributes={"fields": fields})


@pytest.mark.slow  # writes a thousand episodes
def test_a_million_states_take_no_more_memory_than_a_few(tmp_path):
    place = tmp_path / "logs" / "ppo" / "CartPole-v1_1"
    place.mkdir(parents=True)
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu", seed=0)
    model.save(place / "CartPole-v1.zip")
    start = time.perf_counter()
    write_store(tmp_path / "out" / "episodes", Agent.from_model(model))
    print(f"written in {time.perf_counter() - start:.0f} s")
    command = [
        sys.executable, "-m", "sb3_explain", "view", str(tmp_path / "out"), "--algo", "ppo",
        "--env", "CartPole-v1", "-f", str(tmp_path / "logs"),
    ]  # fmt: skip
    start = time.perf_counter()
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        address = re.search(r"http://\S+", running.stdout.readline())[0]
        print(f"ready after {time.perf_counter() - start:.0f} s")
        measure = psutil.Process(running.pid).memory_info

        def ask(path):
            with urllib.request.urlopen(address + path, timeout=120) as answer:
                return answer.read()

        before = measure().rss
        start, listed = time.perf_counter(), 0
        while listed < N_EPISODES:
            episodes = json.loads(ask(f"episodes?start={listed}&n=100"))["episodes"]
            assert episodes[0]["return"] == pytest.approx(listed, rel=1e-5)
            listed += len(episodes)
        seconds, after_list = time.perf_counter() - start, measure().rss
        print(f"all {listed} episodes listed in {seconds:.1f} s")
        jumps = []
        for number in np.linspace(0, N_EPISODES - 1, 20).astype(int):
            start = time.perf_counter()
            described = json.loads(ask(f"chunks/{number}/0"))
            assert described["n"] == LENGTH
            assert len(ask(f"chunks/{described['features']['values']['blob']}")) == LENGTH * 16
            jumps.append(time.perf_counter() - start)
        after_jumps = measure().rss
        print(f"a jump takes {np.median(jumps):.2f} s")
        sizes = [round(size / 2**20) for size in (before, after_list, after_jumps)]
        print(f"MiB at the start, after the list, after 20 jumps: {sizes}")
        assert max(sizes) - sizes[0] < GROWTH
        running.send_signal(signal.SIGINT)
        running.wait(60)
    finally:
        running.kill()
