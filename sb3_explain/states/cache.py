"""A cache of forward passes, for explainers that perturb the same states in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from sb3_explain.agents.agent import Agent

T = TypeVar("T")


@dataclass
class Cost:
    """Forward passes and time.

    :param forwards: number of observations passed through the agent
    :param seconds: wall time in seconds
    """

    forwards: int = 0
    seconds: float = 0.0


class ForwardCache:
    """Outputs of an agent on perturbed states, which are computed once and looked up afterwards.

    Make one for states that several explainers explain, and give it to their batch: explainers
    with the same perturbations, such as Greydanus and SARFA, then share their forward passes. It
    keeps all outputs in memory as long as it exists.

    >>> from sb3_explain import ForwardCache, Greydanus, Sarfa
    >>> batch = image_states.batch(image_agent, range(8), cache=ForwardCache())
    >>> for method in (Greydanus, Sarfa):
    ...     attributions = method(image_agent).attribute_batch(batch)
    >>> batch.cache.saved.forwards  # 5 x 5 points and the state itself, of 8 states
    208
    """

    def __init__(self) -> None:
        self._readings: dict[Hashable, tuple[Any, Cost]] = {}
        #: forward passes and seconds that were saved
        self.saved = Cost()

    def read(self, agent: Agent, key: Hashable, read: Callable[[], T]) -> T:
        """Call ``read()``, or look up what it returned for the same key before.

        :param agent: the agent, whose forward passes are counted
        :param key: names what is read and of which states
        :param read: function that passes states through the agent
        """
        if key not in self._readings:
            forwards, began = agent.forwards, time.perf_counter()
            reading = read()
            cost = Cost(agent.forwards - forwards, time.perf_counter() - began)
            self._readings[key] = reading, cost
            return reading
        reading, cost = self._readings[key]
        self.saved.forwards += cost.forwards
        self.saved.seconds += cost.seconds
        return reading
