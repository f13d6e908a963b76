"""Names that an agent without any takes from where it is played, or from its stored states.

A zip of Stable-Baselines3 holds no names, and an environment that is not registered is not known
when the agent is loaded. Names that a user gave, or that were found before, stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.live_env import find_features, find_names
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.feature_names import FeatureNames, read_feature_names
from sb3_explain.envs.given_action_names import ActionNames, number_actions, read_action_names
from sb3_explain.envs.known_features import find_known_features
from sb3_explain.envs.live_recipe import ModelEnv, UnnamedEnvironmentError, name_environment
from sb3_explain.envs.recipe import EnvRecipe


def adopt_names(agent: Agent, env: ModelEnv | None, recipe: EnvRecipe | None = None) -> None:
    """Name what an agent has no names for as the environment does that it is played in.

    >>> from sb3_explain.agents.adopted_names import adopt_names
    >>> from sb3_explain.envs.live_recipe import ModelEnv
    >>> adopt_names(agent, ModelEnv.of(gymnasium.make("CartPole-v1")))
    >>> agent.action_names
    ('left', 'right')

    :param agent: the agent that plays
    :param env: the environment; ``None`` if it cannot be asked
    :param recipe: how the environment is made; read off the environment when not given
    """
    if env is None or not agent.unnamed:
        return
    space, n_stack = agent.observation_space, agent.n_stack
    try:
        recipe = recipe or name_environment(env)
    except UnnamedEnvironmentError:
        recipe = None
    features: FeatureNames | None = find_features(space, env, n_stack)
    if features is None and recipe is not None:
        features = find_known_features(recipe, space, n_stack)
    _give_names(agent, find_names(agent.action_space, env, recipe), features)


def adopt_stored_names(agent: Agent, described: Mapping[str, Any] | None) -> None:
    """Name what an agent has no names for as the agent was named that collected some states.

    :param agent: the agent that explains the states
    :param described: what the store says of the agent that collected them, if anything; names that
        do not fit are those of another agent, and left out
    """
    if not described or not agent.unnamed:
        return
    numbers, actions = number_actions(agent.action_space), described.get("actions")
    _give_names(agent, None if actions == numbers else actions, described.get("features"))


def _give_names(agent: Agent, actions: ActionNames | None, features: FeatureNames | None) -> None:
    """Give an agent names that it has none of, if they fit."""
    try:
        if actions and "action_names" in agent.unnamed:
            agent.action_names = read_action_names(actions, agent.action_space)
            agent.unnamed.remove("action_names")
        if features and "feature_names" in agent.unnamed:
            space, n_stack = agent.observation_space, agent.n_stack
            agent.feature_names = read_feature_names(features, space, n_stack)
            agent.unnamed.remove("feature_names")
    except ExplainError:
        return
