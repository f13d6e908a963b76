"""Steers the robot of Reach and Peg in box by hand-written rules.

``python examples/robot.py --episodes 100`` prints each task's mean return and success rate.
The rules know where the goal is, which an agent has to see: no agent can be expected to do better.
"""

import argparse

import gymnasium as gym
import numpy as np

import sb3_explain  # noqa: F401  registers the environments

#: the peg's center is this high above the box's bottom when it is carried, and when it lies inside
CARRIED, INSIDE = 0.135, 0.04


def steer(env: gym.Env) -> np.ndarray:
    """The action towards the goal: the peg is carried above the box, and then let down.

    :param env: the environment itself, without wrappers
    """
    if env.task == "reach":
        offset = (env.locate("disc") - env.locate("grasp"))[:2]
    else:
        offset = env.locate("box") - env.locate("peg")
        offset[2] += CARRIED if np.linalg.norm(offset[:2]) > 0.03 else INSIDE
    return np.clip(offset / 0.05, -1, 1).astype(np.float32)


def play(env: gym.Env, n_episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns of the episodes, and whether each was a success at its end."""
    returns, successes = np.zeros(n_episodes), np.zeros(n_episodes, bool)
    for seed in range(n_episodes):
        env.reset(seed=seed)
        truncated = False
        while not truncated:
            _, reward, _, truncated, info = env.step(steer(env))
            returns[seed] += reward
        successes[seed] = info["is_success"]
    return returns, successes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=100, help="number of episodes of each task")
    n_episodes = parser.parse_args().episodes
    for task in ("reach", "peg_in_box"):
        env = gym.make(f"ROBOT/{task}-train-v0").unwrapped
        returns, successes = play(env, n_episodes)
        print(f"{task}: return {returns.mean():.1f}, success rate {successes.mean():.2f}")
        env.close()


if __name__ == "__main__":
    main()
