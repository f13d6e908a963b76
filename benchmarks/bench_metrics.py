"""Speed of insertion and deletion against the agent's bare passes that they need."""

import time

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy

from sb3_explain.agent import Agent
from sb3_explain.maps import order
from sb3_explain.metrics.deletion import deletion
from sb3_explain.metrics.insertion import insertion
from sb3_explain.perturbation import CHUNK
from sb3_explain.policy_views import view_of
from sb3_explain.references import Black

N_STATES, STEPS, REPEATS = 32, 100, 7


def seconds(job) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def run(record) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _run(record)
    finally:
        torch.set_num_threads(threads)


def _run(record) -> None:
    torch.manual_seed(0)
    observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = spaces.Discrete(6)
    policy = ActorCriticCnnPolicy(observation_space, action_space, lambda _: 1e-3)
    agent = Agent(view_of(policy), observation_space, action_space)
    observations = torch.randint(0, 256, (N_STATES, 4, 84, 84)).float()
    maps = torch.rand(observations.shape)
    target = agent.greedy(observations)
    batch = observations.repeat(CHUNK // N_STATES, 1, 1, 1)
    rows = 2 * (STEPS + 1) * N_STATES

    def measured() -> None:
        # from maps to curves, the sorting included, as evaluate() does it
        ordering = order(maps)
        insertion(agent, observations, target, Black(), ordering, steps=STEPS)
        deletion(agent, observations, target, Black(), ordering, steps=STEPS)

    def bare() -> None:
        with torch.no_grad():
            for part in range(0, rows, CHUNK):
                agent.probabilities(batch[: min(CHUNK, rows - part)])

    measured(), bare()
    # Each against its neighbour in time, so that a busy moment falls on both; the median of these.
    pairs = [(seconds(measured), seconds(bare)) for _ in range(REPEATS)]
    record(
        "metrics.insertion_deletion_over_bare_passes",
        float(np.median([ours / theirs for ours, theirs in pairs])),
        "ratio",
        "<= 1.3",
    )
    fastest = min(ours for ours, _ in pairs)
    record("metrics.insertion_deletion_states_per_second", N_STATES / fastest, "states/s")
