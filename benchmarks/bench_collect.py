"""collect against the bare environments with the bare policy, its size on disk, and reading."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from sb3_explain import StateDataset, collect
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.demo import demo_agent
from sb3_explain.envs.recipe import begin_episode
from sb3_explain.states.collection import balance_envs

N_STATES, LIMIT, REPEATS = 10_000, 200, 3


def run(record) -> None:
    agent = demo_agent()
    with tempfile.TemporaryDirectory() as name:
        # In turns, and the least disturbed run of each: what else the machine does only adds time.
        ours, bare = [], []
        for turn in range(REPEATS):
            folder = Path(name) / f"states{turn}"
            began = time.perf_counter()
            states = collect(agent, n_states=N_STATES, folder=folder, max_per_episode=LIMIT)
            ours.append(time.perf_counter() - began)
            bare.append(bare_seconds(agent))
        record("collect.pong.seconds", min(ours), "s")
        record("collect.pong.over_bare", min(ours) / min(bare), "ratio", "<= 1.2")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        record("collect.pong.megabytes", size / 1e6, "MB", "<= 60")
        record("collect.pong.episodes", len(np.unique(states.episode)), "episodes")
        record("states.read_per_second", read_rate(states), "states/s", ">= 20000")


def bare_seconds(agent: Agent) -> float:
    """The same episodes, as many environments in turn, nothing kept: what cannot be avoided."""
    assert agent.recipe is not None
    began = time.perf_counter()
    envs = balance_envs(N_STATES, LIMIT)
    envs = [agent.recipe.make() for _ in range(envs)]
    policy, rng = agent.view.policy, np.random.default_rng(0)
    stacks = np.zeros((envs, *agent.observation_space.shape), np.uint8)
    left = [N_STATES // LIMIT // envs + (row < N_STATES // LIMIT % envs) for row in range(envs)]
    steps = [LIMIT] * envs  # of the current episode; the limit makes the first one begin
    while True:
        for row, env in enumerate(envs):
            if steps[row] == LIMIT and left[row]:
                left[row] -= 1
                steps[row] = 0
                stacks[row] = 0
                stacks[row, -1] = begin_episode(env, int(rng.integers(2**31)))[..., 0]
        playing = [row for row in range(envs) if steps[row] < LIMIT]
        if not playing:
            return time.perf_counter() - began
        with torch.no_grad():
            actions, _, _ = policy(torch.from_numpy(stacks))
        for row in playing:
            frame, _, terminated, truncated, _ = envs[row].step(int(actions[row]))
            steps[row] += 1
            if terminated or truncated:
                frame, _ = envs[row].reset()
            stacks[row, :-1] = stacks[row, 1:].copy()
            stacks[row, -1] = frame[..., 0]


def read_rate(states: StateDataset, batch_size: int = 64) -> float:
    rng = np.random.default_rng(0)
    order = [rng.integers(0, len(states), batch_size) for _ in range(1000)]
    began = time.perf_counter()
    for batch in order:
        states.observations(batch)
    return len(order) * batch_size / (time.perf_counter() - began)
