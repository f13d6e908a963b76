"""Agents by name, so that a job can be sent to another process."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.demo import demo_agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.algorithms import find_algorithm
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import read_instance
from sb3_explain.envs.trust import check_trusted, is_trusted
from sb3_explain.states.dataset import StateDataset

DEMO = "demo"


@dataclass(frozen=True)
class NamedAgent:
    """An agent with its name in a benchmark.

    :param name: name of the agent in tables, figures and folders
    :param source: ``"demo"``; ``"<algo>:<env>"`` as the zoo names them; or
        ``"<package>.<module>:<function>"``, a function without arguments that returns an agent, or
        an agent and its states. An agent itself, or a pair of an agent and its states, can only be
        used in this process
    :param load_kwargs: arguments of :func:`sb3_explain.load_agent`; ``trusted`` also applies to the
        module of a function
    """

    name: str
    source: str | Agent | tuple[Agent, StateDataset]
    load_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def movable(self) -> bool:
        """Whether another process can load the agent."""
        return isinstance(self.source, str)

    @property
    def folder(self) -> str:
        """The name of the agent's folder."""
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in self.name).strip(".")

    def load(self) -> tuple[Agent, StateDataset | None]:
        """Load the agent, and its states if it comes with states.

        :raises ExplainError: if there is no such agent, or its package is not trusted
        """
        source = self.source
        if isinstance(source, Agent):
            return source, None
        if isinstance(source, tuple):
            return source
        if source == DEMO:
            return demo_agent(), None
        first, _, second = source.partition(":")
        if names_function(first, second, self.load_kwargs.get("trusted", ())):
            return call_function(first, second, self.load_kwargs.get("trusted", ()))
        return load_agent(first, second, **self.load_kwargs), None


def read_source(source: Any) -> Agent | tuple[Agent, StateDataset]:
    """Read an agent of a dict, or a pair of an agent and its states.

    :raises ExplainError: if it is neither an agent nor a model
    """
    if isinstance(source, tuple) and source:
        return (read_instance("each of agents", source[0], Agent), *source[1:])
    agent: Agent = read_instance("each of agents", source, Agent)
    return agent


def read_agent(text: str, load_kwargs: Mapping[str, Any]) -> NamedAgent:
    """Read ``[name=]source`` as the command line has it.

    :param text: for example ``"demo"``, ``"ppo:PongNoFrameskip-v4"``, ``"mario=my_agents:mario"``
    :param load_kwargs: arguments of :func:`sb3_explain.load_agent`
    :raises ExplainError: if it names neither an algorithm nor a function of a trusted package
    """
    name, equals, source = text.partition("=")
    if not equals:
        name = source = text
    first, colon, second = source.partition(":")
    if source != DEMO:
        if not colon or not first or not second:
            raise ExplainError(f"{text!r} names no agent: give demo, ALGO:ENV, or MODULE:FUNCTION")
        trusted = load_kwargs.get("trusted", ())
        if names_function(first, second, trusted):
            check_trusted(first, trusted, "the agent's module")
        else:
            find_algorithm(first)
    # A worker may run in another folder, or on another machine that shares this one.
    here = {"folder": str(Path(load_kwargs["folder"]).resolve())} if "folder" in load_kwargs else {}
    return NamedAgent(name, source, {**load_kwargs, **here})


def names_function(module: str, function: str, trusted: Any) -> bool:
    """Return whether the source is a function rather than an algorithm and its environment."""
    dotted = "." in module or is_trusted(module, trusted)
    return dotted and function.isidentifier()


def call_function(module: str, function: str, trusted: Any) -> tuple[Agent, StateDataset | None]:
    """Call a function of a trusted module, and return its agent and states.

    :raises ExplainError: if it is not trusted, does not exist, or returns something else
    """
    check_trusted(module, trusted, "the agent's module")
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ExplainError(f"{module}:{function} cannot be called ({error})") from error
    agent, states = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(agent, Agent) or not isinstance(states, StateDataset | None):
        raise ExplainError(
            f"{module}:{function} returns {type(made).__name__}: let it return an Agent, or an "
            "Agent and a StateDataset"
        )
    return agent, states
