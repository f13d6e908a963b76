"""Maps of steps that a page asks for, in the form in which a page carries its own."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.make import make_unfitted
from sb3_explain.report.viewer.encode import Trust, describe_playback
from sb3_explain.report.viewer.playback import Episode
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.baselines import Baseline, make_baselines
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.parts import Part, StoreReader
from sb3_explain.workflows.playback import Cost, count_cost, explain_steps, show_steps
from sb3_explain.workflows.removal import count_removed, remove_regions


class Question(NamedTuple):
    """What is asked of an explainer.

    :param explainer: name of the explainer
    :param part: the steps
    :param target: number of the target; ``None`` for that of the action taken in each step
    """

    explainer: str
    part: Part
    target: int | None = None


class Mapper:
    """Explains steps of a store, one question at a time.

    :param reader: reads the store
    :param agent: the agent of the states
    :param explainers: explainers by name; those that are ``None`` are made when they are asked
    :param trust: texts of metrics by the name of an explainer
    :param asked: the quantity that all maps are of; actions when not given
    """

    def __init__(
        self,
        reader: StoreReader,
        agent: Agent,
        explainers: Mapping[str, Explainer | None],
        trust: Trust,
        asked: ScalarTarget | None = None,
    ) -> None:
        self.reader = reader
        self.agent = agent
        self.asked = asked
        self._explainers = dict(explainers)
        self._trust = trust
        self._costs: dict[str, Cost] = {}
        self._sample: StateDataset | None = None
        self._baselines: Mapping[str, Baseline] | None = None

    def list_explainers(self) -> list[dict[str, Any]]:
        """List what a page says of the explainers before any map is there."""
        return [
            {
                "name": name, "label": get_explainer_label(name), "signed": False, "untrained": [],
                "positions": None, "common": False, "stack": 1, "attributions": [],
                "metrics": [dict(one) for one in self._trust.get(name, ())],
            }
            for name in self._explainers
        ]  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Names of the explainers."""
        return list(self._explainers)

    @property
    def sample(self) -> StateDataset:
        """States of all over the store, on which baselines are fitted."""
        if self._sample is None:
            self._sample = self.reader.sample()
        return self._sample

    def get_explainer(self, name: str) -> Explainer:
        """Return an explainer that is ready to explain."""
        found = self._explainers[name]
        if found is None:
            found = self._explainers[name] = make_unfitted(name, self.agent, self.sample)
        return found

    def knows(self, question: Question) -> bool:
        """Whether there are such an explainer and such a target."""
        n_targets = len(self.agent.target_names)
        known = question.target is None or question.target < n_targets
        return question.explainer in self._explainers and known

    def count_passes(self, question: Question) -> int:
        """Count the forward passes that a question takes, about."""
        first = self.reader.read([question.part._replace(stop=question.part.start + 1)])
        of_state = self._count_cost(question.explainer, first).forwards
        removed = count_removed(first.batch(self.agent, np.arange(1)))
        return (of_state + removed) * (question.part.stop - question.part.start)

    def answer(self, question: Question) -> bytes:
        """Explain steps, and try what the agent does there without each region.

        :return: JSON of a description of these steps, and of the blobs that it names
        """
        part, explainer = question.part, self.get_explainer(question.explainer)
        states = self.reader.read([part])
        n, positions = len(states), np.arange(len(states))
        episode = Episode(part.episode, 0, n, 0.0, first=part.start)
        columns = {"reward": np.zeros(n)}
        playback = show_steps(states, self.agent, [episode], columns)
        everything = self._count_cost(question.explainer, states).everything
        start = time.perf_counter()
        explained = explain_steps(
            states, explainer, positions, torch.from_numpy(playback.taken),
            name=question.explainer, everything=everything,
            target=None if everything else self.asked or question.target, advance=lambda n: None,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        if self._baselines is None:
            self._baselines = make_baselines(self.agent, "background", self.sample)
        removal = remove_regions(states, self.agent, positions, baselines=self._baselines)
        blobs: dict[str, str] = {}

        def keep(content: bytes) -> str:
            blobs[str(len(blobs))] = base64.b64encode(content).decode()
            return str(len(blobs) - 1)

        described = describe_playback(
            dataclasses.replace(
                playback, rendered=None, observed=None, features=None, columns={}, bookmarks=(),
                explained=[explained], removal=removal,
                asked="" if self.asked is None else self.asked.name,
            ),
            keep, self._trust,
        )  # fmt: skip
        answer = {"playback": described, "blobs": blobs, "seconds": seconds}
        return json.dumps(answer, allow_nan=False).encode()

    def _count_cost(self, name: str, states: StateDataset) -> Cost:
        """Count what a state costs an explainer, once, in the first of some states."""
        if name not in self._costs:
            self._costs[name] = count_cost(self.get_explainer(name), states, self.asked)
        return self._costs[name]
