"""A minute of learning on the pixel task; benchmarks/bench_sgqn_learning.py goes on to the end."""

import numpy as np
import pytest

from sb3_explain import evaluate
from sb3_explain.agents.agent import Agent
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.sgqn import SGQN
from sb3_explain.states.dataset import StateDataset
from tests.pixels import SMALL, PointEnv, play


def states() -> np.ndarray:
    """Of random play."""
    env = PointEnv()
    seen = []
    for seed in range(6):
        observation, _ = env.reset(seed=500 + seed)
        env.action_space.seed(seed)
        for _ in range(12):
            seen.append(observation)
            observation, *_ = env.step(env.action_space.sample())
    return np.stack(seen)


def faithfulness(model: SGQN, seen: np.ndarray) -> float:
    """How far the predicted saliency is the true one."""
    agent = Agent.from_model(model, n_stack=1)
    episodes, greedy = np.arange(len(seen)) // 12, np.zeros(len(seen), np.int64)
    dataset = StateDataset.from_arrays(seen, episodes, greedy)
    results = evaluate(agent, dataset, [EXPLAINERS["sgqn"](agent)], ["saliency_iou"])
    return float(results.rows["sgqn"].values["saliency_iou"].mean())


@pytest.mark.slow
def test_it_comes_to_look_at_what_matters_and_to_say_so():
    model = SGQN(
        "SGQNPolicy", PointEnv(), seed=0, buffer_size=3000, learning_starts=300, warmup_updates=0,
        batch_size=32, policy_kwargs={**SMALL, "decoder_filters": (16, 8)},
    )  # fmt: skip
    seen = states()
    before, said_before = play(model, None, 5), faithfulness(model, seen)
    model.learn(1300)
    after, said_after = play(model, None, 5), faithfulness(model, seen)
    assert after.on_target > before.on_target + 0.2
    assert said_after > said_before + 0.1
