"""The demo agent's return over 20 episodes, acting stochastically as the zoo does on Atari."""

import numpy as np

from sb3_explain.agents.demo import demo_agent
from sb3_explain.common.bootstrap import confidence_interval
from sb3_explain.envs.frames import FrameLayout
from sb3_explain.envs.spaces import SINGLE

EPISODES = 20


def run(record) -> None:
    agent = demo_agent()
    assert agent.recipe is not None
    envs = [agent.recipe.make() for _ in range(EPISODES)]
    layout = FrameLayout(agent.recipe, envs[0].observation_space, agent.observation_space)
    stacks, rng = layout.empty(EPISODES), np.random.default_rng(0)
    returns = np.full(EPISODES, np.nan)
    for row, env in enumerate(envs):
        layout.push(stacks, row, layout.frame(env.reset(seed=row)[0]))
    while np.isnan(returns).any():
        actions = agent.act(agent.tensor(stacks[SINGLE]), deterministic=False, rng=rng)
        for row in np.flatnonzero(np.isnan(returns)):
            frame, _, _, _, info = envs[row].step(actions[row])
            layout.push(stacks, row, layout.frame(frame))
            if "episode" in info:
                returns[row] = info["episode"]["r"]
    interval = confidence_interval(returns, np.arange(EPISODES))
    record("demo_agent.return", interval.mean, "return", ">= 15")
    record("demo_agent.return.low", interval.low, "return")
    record("demo_agent.return.high", interval.high, "return")
