"""Live agents of every algorithm and of every observation and action kind, and some states of each.

``table()`` says which explainer serves which; the documentation has it from there when it is built.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO, SAC

from sb3_explain.agent import Agent
from sb3_explain.registry import EXPLAINERS
from sb3_explain.states import StateDataset
from tests.loading.models import (
    ARM,
    CASES,
    LSTM,
    OFF_POLICY,
    ON_POLICY,
    ONE_OF_FOUR,
    SMALL,
    Case,
    make_model,
)

MIXED = spaces.Dict(
    image=spaces.Box(0, 255, (3, 40, 37), np.uint8),
    vector=spaces.Box(-1, 1, (4,), np.float32),
)
GOAL = spaces.Dict(
    achieved_goal=spaces.Box(-1, 1, (2,), np.float32),
    desired_goal=spaces.Box(-1, 1, (2,), np.float32),
    observation=spaces.Box(-10, 10, (3,), np.float32),
)
DICT = (MIXED, ONE_OF_FOUR, SMALL, "MultiInputPolicy")
#: in the table of the documentation; the last six observe an image and a vector, so that every
#: method finds something to explain
SHOWN = {
    "image": CASES["ppo-cnn"],
    "vector": CASES["dqn"],
    "vector, tanh": CASES["ppo"],
    "category": CASES["a2c-discrete-observation"],
    "image, vector and category": CASES["dqn-dict"],
    "image and vector": Case("ppo", PPO, *DICT, ON_POLICY),
    "MultiDiscrete": Case(
        "ppo", PPO, MIXED, spaces.MultiDiscrete([3, 2]), SMALL, "MultiInputPolicy", ON_POLICY
    ),
    "MultiBinary": Case(
        "ppo", PPO, MIXED, spaces.MultiBinary(2), SMALL, "MultiInputPolicy", ON_POLICY
    ),
    "Box": Case("sac", SAC, MIXED, ARM, SMALL, "MultiInputPolicy", OFF_POLICY),
    "memory": Case("ppo_lstm", RecurrentPPO, MIXED, ONE_OF_FOUR, LSTM, "MultiInputLstmPolicy"),
    "action masks": Case("maskable_ppo", MaskablePPO, *DICT, ON_POLICY),
}
#: the other algorithms, and kinds that differ from those above in what an explainer may stumble on
MORE = {
    "her": Case("her", SAC, GOAL, ARM, SMALL, "MultiInputPolicy", OFF_POLICY),
    **{
        name: CASES[name]
        for name in (
            "a2c", "ars-mlp", "crossq", "ddpg", "maskable_ppo", "ppo-relu", "ppo-float-image",
            "ppo-multidiscrete", "ppo-multibinary", "ppo-gsde-squashed", "ppo_lstm-shared",
            "qrdqn", "sac-cnn-shared", "td3", "tqc", "trpo",
        )
    },
}  # fmt: skip
KINDS = {**SHOWN, **MORE}


@functools.cache
def agent_of(kind: str) -> Agent:
    """A freshly made agent, the same one at each call."""
    return Agent.from_model(make_model(KINDS[kind]))


@functools.cache
def states_of(kind: str, n: int = 32) -> StateDataset:
    """Random states, with the memory and the masks of agents that have such."""
    agent, rng = agent_of(kind), np.random.default_rng(0)
    entries = {"": agent.observation_space}
    if isinstance(agent.observation_space, spaces.Dict):
        entries = dict(agent.observation_space.spaces)
    for seed, space in enumerate(entries.values()):
        space.seed(seed)
    frames = {
        name: torch.from_numpy(np.stack([space.sample() for _ in range(n)]))
        for name, space in entries.items()
    }
    columns = {"episode": np.arange(n) // 4, "greedy": np.zeros(n, np.int64)}
    if agent.recurrent:
        memory = rng.normal(0, 0.3, agent.initial_memory(n).shape)
        columns["memory"] = memory.astype(np.float32)
    if agent.view.maskable:
        allowed = rng.random((n, agent.n_scores)) < 0.6
        allowed[:, 0] = True
        columns["action_masks"] = allowed
    states = StateDataset(frames, columns, np.ones(n, bool))
    if isinstance(agent.action_space, spaces.Discrete):
        everything = np.arange(n)
        scores = agent.scores(states.observations(everything), **states.context(everything))
        columns["greedy"] = scores.argmax(dim=1).numpy()
    return states


def table() -> str:
    """In Markdown: explainers x kinds of agents, and why a method does not serve one."""
    reasons: dict[str, int] = {}
    lines = [
        "| explainer | " + " | ".join(SHOWN) + " |",
        "|---|" + ":-:|" * len(SHOWN),
    ]
    for name, explainer in EXPLAINERS.items():
        obstacles = [explainer.obstacle(agent_of(kind)) for kind in SHOWN]
        cells = [
            "yes" if obstacle is None else f"({reasons.setdefault(obstacle, len(reasons) + 1)})"
            for obstacle in obstacles
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join([*lines, "", *notes]) + "\n"
