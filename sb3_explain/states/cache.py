"""What the agent said of perturbed states, for explainers that would ask it the same again."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from sb3_explain.agents.agent import Agent

T = TypeVar("T")


@dataclass
class Cost:
    """What something took.

    :param forwards: observations passed through the agent
    :param seconds: seconds of wall time
    """

    forwards: int = 0
    seconds: float = 0.0


class ForwardCache:
    """Readings of one agent that are made once and looked up after that.

    Whoever lets several explainers explain the same states makes one and hands it over with the
    batch: explainers with the same perturbations, such as Greydanus and SARFA, then share their
    forward passes. It holds all that was read of the states until it is dropped itself.

    >>> from sb3_explain import ForwardCache, Greydanus, Sarfa
    >>> batch = image_states.batch(image_agent, range(8), cache=ForwardCache())
    >>> maps = [method(image_agent).attribute_batch(batch) for method in (Greydanus, Sarfa)]
    >>> batch.cache.saved.forwards  # 5 x 5 points and the state itself, of 8 states
    208
    """

    def __init__(self) -> None:
        self._readings: dict[Hashable, tuple[Any, Cost]] = {}
        #: forward passes that were not made, and their seconds, because a reading was looked up
        self.saved = Cost()

    def read(self, agent: Agent, key: Hashable, read: Callable[[], T]) -> T:
        """What ``read()`` returned when it was first called under ``key``.

        :param agent: the agent that is read, whose forward passes are counted
        :param key: what is read, of which states
        :param read: asks the agent
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
