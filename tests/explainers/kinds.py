"""Live agents of every algorithm and of every observation and action kind, and some states of each.

``table()`` says which explainer supports which; the documentation takes it from here when built.
"""

from __future__ import annotations

import functools
import inspect

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO, SAC

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.states.dataset import StateDataset
from tests.agents.loading.models import (
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

#: cheap settings of whatever has them
QUICK = {"n_samples": 40, "n_masks": 40, "n_steps": 6}
FIT = {"epochs": 1, "batch_size": 8, "patience": 1, "progress": False, "precision": "no"}
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
#: tables of the documentation: agents with Discrete actions that observe what the heading says ...
OBSERVED = {
    "image": CASES["ppo-cnn"],
    "vector": CASES["dqn"],
    "vector, tanh": CASES["ppo"],
    "image and vector": Case("ppo", PPO, *DICT, ON_POLICY),
    "category": CASES["a2c-discrete-observation"],
    "image, vector, category": CASES["dqn-dict"],
}
#: ... and agents that observe an image and a vector, so that every method has what it explains
ACTING = {
    "MultiDiscrete": Case(
        "ppo", PPO, MIXED, spaces.MultiDiscrete([3, 2]), SMALL, "MultiInputPolicy", ON_POLICY
    ),
    "MultiBinary": Case(
        "ppo", PPO, MIXED, spaces.MultiBinary(2), SMALL, "MultiInputPolicy", ON_POLICY
    ),
    "Box": Case("sac", SAC, MIXED, ARM, SMALL, "MultiInputPolicy", OFF_POLICY),
    "recurrent": Case("ppo_lstm", RecurrentPPO, MIXED, ONE_OF_FOUR, LSTM, "MultiInputLstmPolicy"),
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
            "qrdqn", "sac-cnn-shared", "sgqn", "td3", "tqc", "trpo",
        )
    },
}  # fmt: skip
KINDS = {**OBSERVED, **ACTING, **MORE}


@functools.cache
def agent_of(kind: str) -> Agent:
    """A freshly made agent, the same one at each call."""
    # the states below are whole stacks
    return Agent.from_model(make_model(KINDS[kind]), n_stack=1)


@functools.cache
def states_of(kind: str) -> StateDataset:
    """States of that agent, the same ones at each call."""
    return random_states(agent_of(kind))


def random_states(agent: Agent, n: int = 32) -> StateDataset:
    """Random states, with the lstm_states and the masks of agents that have such."""
    rng = np.random.default_rng(0)
    by_key = spaces_by_key(agent.observation_space)
    frames = {name: torch.from_numpy(_observed(space, n, rng)) for name, space in by_key.items()}
    columns = {"episode": np.arange(n) // 4, "greedy": np.zeros(n, np.int64)}
    if agent.recurrent:
        lstm_states = rng.normal(0, 0.3, agent.initial_lstm_states(n).shape)
        columns["lstm_states"] = lstm_states.astype(np.float32)
    if agent.view.maskable:
        allowed = rng.random((n, agent.n_scores)) < 0.6
        allowed[:, 0] = True
        columns["action_masks"] = allowed
    states = StateDataset(frames, columns, np.ones(n, bool))
    if isinstance(agent.action_space, spaces.Discrete):
        everything = np.arange(n)
        scores = agent.scores(states.observations(everything), **states.policy_inputs(everything))
        columns["greedy"] = scores.argmax(dim=1).numpy()
    return states


def _observed(space: spaces.Space, n: int, rng: np.random.Generator) -> np.ndarray:
    if isinstance(space, spaces.Box) and space.dtype == np.float32:
        normal = rng.normal(size=(n, *space.shape)).astype(np.float32)
        return np.clip(normal, space.low, space.high)
    space.seed(0)
    return np.stack([space.sample() for _ in range(n)])


def quick(name: str, agent: Agent, states: StateDataset, **settings: int) -> Explainer:
    """An explainer with cheap settings, ready to explain.

    :param settings: in place of those of :data:`QUICK`
    :raises ExplainError: if it does not support the agent
    """
    known = inspect.signature(EXPLAINERS[name]).parameters
    desired = {key: value for key, value in {**QUICK, **settings}.items() if key in known}
    if name == "visionmask":  # a longer search on an untrained agent amplifies rounding errors
        desired["refine_steps"] = 2
    explainer: Explainer = EXPLAINERS[name](agent, **desired)
    if isinstance(explainer, FittedExplainer):
        explainer.fit(states.subset(range(16)), states.subset(range(16, 24)), **FIT)
    return explainer


def table() -> str:
    """In Markdown: explainers x kinds of agents, twice, and why a method does not support one."""
    reasons: dict[str, int] = {}
    lines = []
    for heading, kinds in (("observation", OBSERVED), ("actions", ACTING)):
        lines += [f"| {heading} | " + " | ".join(kinds) + " |", "|---|" + ":-:|" * len(kinds)]
        for name, explainer in EXPLAINERS.items():
            pixels = [f"`{name}`"]
            for kind in kinds:
                reason = explainer.unsupported(agent_of(kind))
                number = reasons.setdefault(reason, len(reasons) + 1) if reason else None
                pixels.append("yes" if number is None else f"({number})")
            lines.append("| " + " | ".join(pixels) + " |")
        lines.append("")
    return "\n".join([*lines, *(f"{n}. {reason}" for reason, n in reasons.items())]) + "\n"
