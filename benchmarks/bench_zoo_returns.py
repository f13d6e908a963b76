"""Returns of the zoo's published agents over 20 episodes, against what was published.

The folder of agents, in the zoo's layout, stands in the environment variable SB3_EXPLAIN_AGENTS
(with or without ``zoo/`` below it); without it nothing is measured.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent

EPISODES = 20

#: algorithm, environment, and the bound of the mean: a comparison, or the published mean and the
#: published standard deviation within which it should lie
PUBLISHED = [
    ("a2c", "CartPole-v1", (">= 475",)),
    ("ars", "CartPole-v1", (">= 475",)),
    ("dqn", "CartPole-v1", (">= 475",)),
    ("qrdqn", "CartPole-v1", (">= 475",)),
    ("ppo", "LunarLander-v2", (242, 32)),  # measured on v3, which v2 became
    # of the zoo's table until May 2022, which belongs to this file; today's (288 +- 2) does not
    ("ppo", "BipedalWalker-v3", (213.3, 129.5)),
    ("ppo", "MountainCar-v0", (-110, 19)),
    ("trpo", "Acrobot-v1", (-83, 19)),
    ("sac", "Pendulum-v1", (-157, 89)),
    ("tqc", "Pendulum-v1", (-151, 88)),
]
#: also measured with sampled actions, as it was trained: its own record of its last 100 episodes of
#: training, which is in its zip, is 264 +- 81
SAMPLED = ("ppo", "BipedalWalker-v3", ">= 265")


def episode_return(agent: Agent, seed: int, *, deterministic: bool = True) -> float:
    """The sum of rewards of one episode.

    :param agent: with a recipe of its environment, without frame stacks
    :param seed: of the episode, and of its actions where they are sampled
    :param deterministic: greedy actions, as the zoo takes them outside of Atari
    """
    assert agent.recipe is not None
    env = agent.recipe.make()
    observation, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    total, done = 0.0, False
    while not done:
        frame = np.asarray(agent.recipe.normalize(observation), dtype=np.float32)
        observations = agent.tensor(frame[None])
        action = agent.act(observations, deterministic=deterministic, rng=rng)[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        done = terminated or truncated
    env.close()
    return total


def agents_folder() -> Path | None:
    """Where the agents are, if anywhere."""
    folder = os.environ.get("SB3_EXPLAIN_AGENTS")
    if not folder or not Path(folder).is_dir():
        return None
    below = Path(folder) / "zoo"
    return below if below.is_dir() else Path(folder)


def run(record: Callable[..., None]) -> None:
    """Record the mean return of each agent, and its distance from the published one."""
    folder = agents_folder()
    if folder is None:
        print("zoo returns: not run (SB3_EXPLAIN_AGENTS names no folder of agents)")
        return
    for algo, env_id, published in PUBLISHED:
        agent = load_agent(algo, env_id, folder=folder)
        mean = float(np.mean([episode_return(agent, seed) for seed in range(EPISODES)]))
        name = f"zoo_return/{algo}/{env_id}"
        if len(published) == 1:
            record(name, mean, "return", published[0])
        else:
            center, deviation = published
            record(name, mean, "return")
            record(f"{name}/distance", abs(mean - center), "return", f"<= {deviation}")
    algo, env_id, target = SAMPLED
    agent = load_agent(algo, env_id, folder=folder)
    returns = [episode_return(agent, seed, deterministic=False) for seed in range(EPISODES)]
    record(f"zoo_return/{algo}/{env_id}/sampled", float(np.mean(returns)), "return", target)
