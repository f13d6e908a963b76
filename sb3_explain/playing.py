"""Playing on what is shown: episodes of an agent that acts on something else than it would see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agent import Agent
from sb3_explain.batch import StateBatch
from sb3_explain.collection import ZOO_EPSILON, is_sampled_in_zoo
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.errors import ExplainError
from sb3_explain.lanes import Lanes

#: what an agent is shown of some states
Sight = Callable[[StateBatch], Tensor]


def lanes_of(
    agent: Agent,
    n: int,
    *,
    env: str | EnvRecipe | None = None,
    deterministic: bool | None = None,
    seed: int = 0,
) -> Lanes:
    """Environments in which the agent plays as the zoo lets it.

    :param agent: who plays
    :param n: environments side by side
    :param env: gymnasium id or recipe; the agent's own when not given
    :param deterministic: greedy actions; else sampled or, of Q-values, random with probability
        0.01. As the zoo plays its agents when not given, greedy but on Atari and MiniGrid
    :param seed: of environments and actions
    :raises ExplainError: if the environment is unknown
    """
    recipe = EnvRecipe(env) if isinstance(env, str) else env or agent.recipe
    if recipe is None:
        raise ExplainError("this agent knows no environment: name one with env=...")
    sampled = is_sampled_in_zoo(recipe) if deterministic is None else not deterministic
    randomly = sampled and agent.view.value_based
    return Lanes(
        agent,
        recipe,
        n,
        seed=seed,
        sampled=sampled and not randomly,
        epsilon=ZOO_EPSILON if randomly else 0.0,
    )


@torch.no_grad()
def play(
    lanes: Lanes,
    sight: Sight,
    n_episodes: int,
    max_steps: int | None,
    advance: Callable[[int], Any],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths of episodes of an agent that acts on what ``sight`` shows it."""
    agent, each = lanes.agent, lanes.each
    returns, lengths = np.zeros(n_episodes), np.zeros(n_episodes, dtype=np.int64)
    for lane in each:
        lane.begin(lane.row)
    while playing := [lane for lane in each if lane.episode is not None]:
        masks = lanes.action_masks()
        held = {"memory": lanes.memory, "action_masks": masks}
        context = {name: tensor for name, tensor in held.items() if tensor is not None}
        batch = StateBatch(agent, lanes.observations(), context=context)
        seen = batch.structured(batch.unflat(sight(batch)))
        actions = lanes.actions(seen, agent.scores(seen, **context))
        lanes.memory = agent.next_memory(seen, lanes.memory)
        for lane in playing:
            episode = lane.episode or 0
            _, over = lane.step(actions[lane.row])
            lengths[episode] += 1
            if over or lengths[episode] == max_steps:
                returns[episode] = lane.earned
                lane.episode = None
                advance(1)
                if episode + len(each) < n_episodes:
                    lane.begin(episode + len(each))
    return returns, lengths
