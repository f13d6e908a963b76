"""Speed of insertion and deletion against the agent's bare passes that they need."""

import time

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_views import make_view
from sb3_explain.common.attributions import order
from sb3_explain.evaluation.metrics.deletion import deletion
from sb3_explain.evaluation.metrics.insertion import insertion
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import CHUNK

# As many states as evaluate() takes at once.
N_STATES, STEPS, REPEATS = CHUNK, 100, 5


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
    agent = Agent(make_view(policy), observation_space, action_space)
    observations = torch.randint(0, 256, (N_STATES, 4, 84, 84)).float()
    attributions = torch.rand(observations.shape)
    batch = StateBatch(agent, observations, agent.greedy(observations))
    black = torch.zeros_like(observations)

    def measured() -> None:
        # from maps to curves, the sorting included, as evaluate() does it
        ordering = order(attributions)
        insertion(batch, black, ordering, steps=STEPS)
        deletion(batch, black, ordering, steps=STEPS)

    def bare() -> None:
        with torch.no_grad():
            for _ in range(2 * (STEPS + 1)):
                agent.probabilities(observations)

    measured(), bare()
    # In turns, and the least disturbed run of each: what else the machine does only adds time.
    ours, theirs = zip(*((seconds(measured), seconds(bare)) for _ in range(REPEATS)), strict=True)
    record(
        "metrics.insertion_deletion_over_bare_passes", min(ours) / min(theirs), "ratio", "<= 1.3"
    )
    record("metrics.insertion_deletion_states_per_second", N_STATES / min(ours), "states/s")
