"""Faults that are planted into copies of healthy agents, each with the name that it should get."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent
from sb3_explain.agents.layers import copy_agent
from sb3_explain.envs.recipe import Normalizer

#: an agent -> the agent with the fault, and arguments of diagnose
Plant = Callable[[Agent], tuple[Agent, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A kind of fault.

    :param names: names of the findings that are right
    :param plant: plants it
    :param agents: the agents that it is planted into
    """

    names: tuple[str, ...]
    plant: Plant
    agents: tuple[str, ...]


def find_module(agent: Agent, *endings: str) -> list[nn.Module]:
    """The modules of a policy whose names end so; target networks are left out."""
    modules = agent.view.policy.named_modules()
    return [m for name, m in modules if name.endswith(endings) and "target" not in name]


def find_output(agent: Agent) -> nn.Linear:
    """The layer whose outputs are the scores, or the actions before they are squashed."""
    endings = ("action_net", "action_net.0", "actor.mu", "actor.mu.0", "actor.mu.4")
    found = [m for m in find_module(agent, *endings) if isinstance(m, nn.Linear)]
    quantiles = find_module(agent, "q_net.q_net.4", "quantile_net.quantile_net.4")
    return (found or quantiles)[-1]  # type: ignore[return-value]


def find_inputs(agent: Agent) -> list[nn.Module]:
    """The layers that the observations come to."""
    endings = (
        "policy_net.0", "value_net.0", "cnn.0", "q_net.q_net.0", "quantile_net.quantile_net.0",
        "latent_pi.0", "actor.mu.0", "qf0.0", "qf1.0",
    )  # fmt: skip
    found = find_module(agent, *endings)
    n = int(np.prod(agent.observation_space.shape))
    linear = [m for m in found if isinstance(m, nn.Linear) and m.in_features >= n]
    return linear or [m for m in found if isinstance(m, nn.Conv2d)]


def rearrange(agent: Agent, order: Callable[[int], list[int]]) -> Agent:
    """The agent with the inputs of its first layers in another order."""
    changed = copy_agent(agent)
    shape = agent.observation_space.shape
    n = shape[0] if len(shape) == 3 else int(np.prod(shape))
    for layer in find_inputs(changed):
        weight = layer.weight.data
        weight[:, :n] = weight[:, order(n)].clone()
    return changed


def without_statistics(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    return with_statistics(agent, lambda one: None)


def stale_statistics(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    def make_stale(one: Normalizer) -> Normalizer:
        return dataclasses.replace(one, mean=one.mean + 3 * np.sqrt(one.var), var=one.var * 25)

    return with_statistics(agent, make_stale)


def with_statistics(
    agent: Agent, change: Callable[[Normalizer], Normalizer | None]
) -> tuple[Agent, dict[str, Any]]:
    changed = copy_agent(agent)
    made = {key: change(one) for key, one in agent.normalizers.items()}
    normalizers = {key: one for key, one in made.items() if one is not None}
    changed.normalizers = normalizers
    changed.recipe = dataclasses.replace(agent.recipe, normalizers=normalizers)
    return changed, {}


def reversed_frames(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    n = agent.n_stack

    def order(size: int) -> list[int]:
        return np.arange(size).reshape(n, -1)[::-1].flatten().tolist()

    return rearrange(agent, order), {}


def swapped_features(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    def order(size: int) -> list[int]:
        return [size - 1, *range(1, size - 1), 0]

    return rearrange(agent, order), {}


def swapped_actions(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    changed = copy_agent(agent)
    layer = find_output(changed)
    if isinstance(agent.action_space, spaces.Box):
        layer.weight.data[0] *= -1
        layer.bias.data[0] *= -1
        return changed, {}
    n = agent.n_scores
    per_action = len(layer.weight) // n  # quantiles of an action stand side by side, or apart
    rows = torch.arange(len(layer.weight)).reshape(-1, n) if per_action > 1 else torch.arange(n)
    order = list(range(n))
    order[0], order[-1] = order[-1], order[0]
    new = rows[..., order].flatten()
    layer.weight.data, layer.bias.data = layer.weight.data[new], layer.bias.data[new]
    return changed, {}


def one_action(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    changed = copy_agent(agent)
    layer = find_output(changed)
    if isinstance(agent.action_space, spaces.Box):
        layer.weight.data *= 0.001
    else:
        layer.bias.data[: max(1, len(layer.bias) // agent.n_scores) : 1] += 1e3
    return changed, {}


def dead_layer(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    changed = copy_agent(agent)
    endings = ("policy_net.2", "q_net.q_net.2", "quantile_net.2", "latent_pi.2", "linear.0")
    for layer in find_module(changed, *endings):
        layer.weight.data *= 0
        layer.bias.data -= 1e3
    return changed, {}


def scaled(find: Callable[[Agent], list[nn.Module]], factor: float) -> Plant:
    """Layers whose outputs are a factor times as large."""

    def plant(agent: Agent) -> tuple[Agent, dict[str, Any]]:
        changed = copy_agent(agent)
        for layer in find(changed):
            layer.weight.data *= factor
            layer.bias.data *= factor
        return changed, {}

    return plant


def too_much_noise(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    changed = copy_agent(agent)
    for name, parameter in changed.view.policy.named_parameters():
        if name.endswith("log_std"):
            parameter.data += 5
        elif name.endswith("log_std.bias"):
            parameter.data += 50
    return changed, {}


def blind_feature(number: int) -> Plant:
    def plant(agent: Agent) -> tuple[Agent, dict[str, Any]]:
        changed = copy_agent(agent)
        for layer in find_inputs(changed):
            layer.weight.data[:, number] = 0
        return changed, {}

    return plant


def find_value_heads(agent: Agent) -> list[nn.Module]:
    heads = find_module(agent, "policy.value_net", "qf0.4", "qf1.4")
    own = [m for n, m in agent.view.policy.named_modules() if n == "value_net"]
    return own or heads or [find_output(agent)]


def untrained_value(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    changed = copy_agent(agent)
    torch.manual_seed(0)
    for layer in find_value_heads(changed):
        layer.reset_parameters()
    return changed, {}


class Sensor(gym.ObservationWrapper):  # type: ignore[type-arg]
    """One feature of the observation goes through a function of it and the first observation."""

    def __init__(self, env: Any, number: int, change: Callable[[float, int], float]) -> None:
        super().__init__(env)
        self.number, self.change, self.steps = number, change, 0

    def observation(self, observation: Any) -> Any:
        self.steps += 1
        changed = np.array(observation)
        changed[self.number] = self.change(float(changed[self.number]), self.steps)
        return changed


def with_sensor(number: int, change: Callable[[float, int], float]) -> Plant:
    def plant(agent: Agent) -> tuple[Agent, dict[str, Any]]:
        recipe = dataclasses.replace(agent.recipe, normalizers={})
        return agent, {"env": lambda: Sensor(recipe.make(), number, change)}

    return plant


class WithoutMasks(gym.Env):  # type: ignore[type-arg]
    """An environment that does not say which actions it allows."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, **options: Any) -> Any:
        return self.env.reset(**options)

    def step(self, action: Any) -> Any:
        return self.env.step(action)


def without_masks(agent: Agent) -> tuple[Agent, dict[str, Any]]:
    from diagnosed_agents import make_masked_env

    return agent, {"env": lambda: WithoutMasks(make_masked_env(agent.n_scores))}


NORMALIZED = ("ppo MountainCar", "ppo BipedalWalker", "sac Pendulum, normalized")
FAULTS = {
    "raw observations": Fault(("normalization",), without_statistics, NORMALIZED),
    "stale statistics": Fault(
        ("normalization", "observations out of range"), stale_statistics, NORMALIZED
    ),
    "frames in reverse": Fault(
        ("frame order",), reversed_frames,
        ("ppo CartPole, stacked", "ppo CartPole, stacked 2", "ppo Pong"),
    ),
    "two features swapped": Fault(
        ("feature order",), swapped_features,
        ("a2c CartPole", "sac Pendulum", "ppo MountainCar"),
    ),
    "two actions swapped": Fault(
        ("action order",), swapped_actions, ("dqn CartPole", "ppo MountainCar", "sac Pendulum")
    ),
    "one action": Fault(
        ("one action",), one_action, ("a2c CartPole", "dqn CartPole", "sac Pendulum")
    ),
    "dead layer": Fault(
        ("dead layer",), dead_layer, ("dqn CartPole", "qrdqn CartPole", "sac Pendulum")
    ),
    "saturated actor": Fault(
        ("saturated actions",), scaled(lambda agent: [find_output(agent)], 1e4),
        ("td3 Pendulum", "sac Pendulum, normalized", "ppo BipedalWalker"),
    ),
    "saturated layer": Fault(
        ("saturated layer",), scaled(lambda agent: find_module(agent, "policy_net.0"), 1e4),
        ("a2c CartPole", "ppo MountainCar", "trpo Acrobot")
    ),
    "noise of the actions": Fault(
        ("actions are mostly noise",), too_much_noise,
        ("ppo Pendulum, normalized", "sac Pendulum", "sac Pendulum, normalized"),
    ),
    "blind to a feature": Fault(
        ("blind to features",), blind_feature(2),
        ("a2c CartPole", "sac Pendulum", "ppo LunarLander"),
    ),
    "value times four": Fault(
        ("value is biased",), scaled(find_value_heads, 4),
        ("dqn CartPole", "a2c CartPole", "ppo MountainCar")
    ),
    "untrained value": Fault(
        ("value is biased", "value does not follow the return"), untrained_value,
        ("ppo CartPole", "trpo Acrobot", "ppo MountainCar"),
    ),
    "stuck sensor": Fault(
        ("constant features",), with_sensor(2, lambda x, step: 0.1),
        ("a2c CartPole", "dqn CartPole", "sac Pendulum"),
    ),
    "NaN": Fault(
        ("NaN observations",), with_sensor(0, lambda x, step: np.nan if step % 50 == 0 else x),
        ("a2c CartPole", "qrdqn CartPole", "trpo Acrobot"),
    ),
    "degrees in place of radians": Fault(
        ("observations out of range",), with_sensor(2, lambda x, step: np.degrees(x)),
        ("a2c CartPole", "dqn CartPole", "ppo CartPole"),
    ),
    "no masks": Fault(
        ("masks are missing",), without_masks,
        ("maskable_ppo 6 actions", "maskable_ppo 8 actions", "maskable_ppo 10 actions"),
    ),
    "prefers nothing": Fault(
        ("prefers nothing",), scaled(lambda agent: [find_output(agent)], 1e-4),
        ("a2c CartPole", "ppo MountainCar", "ppo LunarLander")
    ),
}  # fmt: skip
