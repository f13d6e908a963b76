"""Steps with their attributions and numbers, which every kind of export shares."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.common.attributions import join_features
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.whole_table import WholeTable
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.export.steps import Steps
from sb3_explain.workflows.pictures import (
    batch_taken,
    compute_shares,
    find_taken_targets,
    get_pictures,
    name_asked,
    name_measure,
)
from sb3_explain.workflows.saliency_video import scale_newest
from sb3_explain.workflows.step_columns import compute_columns

Array = NDArray[Any]
#: number of states that are explained, or whose pictures are read, at once
CHUNK = 64


@dataclasses.dataclass(frozen=True)
class ExplainedSteps:
    """Steps of an episode with the attributions of one target in each.

    :param states: states of the agent, episode after episode
    :param steps: which of them are exported
    :param explainer: explainer of the attributions
    :param target: what is explained in every step; ``None`` for the action taken
    :param by_key: (T, ...) attributions by key of the observation
    """

    states: StateDataset
    steps: Steps
    explainer: Explainer
    target: TargetLike
    by_key: dict[str, Tensor]

    @property
    def agent(self) -> Agent:
        """The agent that took the steps."""
        return self.explainer.agent

    @cached_property
    def image(self) -> str | None:
        """Key of the image that is shown; ``None`` for an agent that observes none."""
        return find_image(self.agent)

    @cached_property
    def scaled(self) -> NDArray[np.float32] | None:
        """(T, H, W) attributions of the newest frame as they are drawn; ``None`` without images."""
        if self.image is None:
            return None
        return scale_newest(self.explainer, self.by_key[self.image]).astype(np.float32)

    @cached_property
    def signed(self) -> bool:
        """Whether the maps lie in [-1, 1], not in [0, 1]."""
        return self.scaled is not None and bool((self.scaled < 0).any())

    @cached_property
    def taken(self) -> Tensor:
        """(T,) number of the target of the action taken."""
        actions = self.states.actions[self.steps.positions]
        return find_taken_targets(self.agent, actions, self.scores)

    @property
    def scores(self) -> Tensor:
        """(T, K) the agent's scores."""
        return torch.from_numpy(self.states.column("scores")[self.steps.positions])

    @cached_property
    def shares(self) -> Array:
        """(T, K) probability of each target, or its position in the range, in [0, 1]."""
        shares: Array = compute_shares(self.agent, self.scores).numpy()
        return shares

    @cached_property
    def columns(self) -> dict[str, Array]:
        """(T,) value, return to come, reward, advantage and entropy, as far as they are known."""
        whole = compute_columns(self.agent, self.states)
        return {name: column[self.steps.positions] for name, column in whole.items()}

    @cached_property
    def features(self) -> tuple[list[str], Array, Array] | None:
        """Names of M features, their (T, M) values and attributions; ``None`` with images."""
        if self.image is not None:
            return None
        batch = self.states.batch(self.agent, self.steps.positions)
        sizes = {key: part[0].numel() for key, part in self.by_key.items()}
        names = name_features(self.agent, sizes)
        values = show_values(self.agent, batch.by_key).numpy()
        return names, values, join_features(self.by_key).cpu().numpy()

    def pictures(self, rows: Array) -> Array | None:
        """Return the game as rendered, or as the agent observes it; ``None`` without either.

        :param rows: (B,) numbers of the steps among those that are exported
        :return: (B, h, w, 3) uint8
        """
        positions = self.steps.positions[rows]
        if self.image is None:
            return self.states.rendered(positions)
        return get_pictures(self.states, positions, self.agent, self.image)

    def chunks(self) -> list[Array]:
        """List the numbers of the steps in parts whose pictures fit into the memory."""
        return np.array_split(np.arange(len(self.steps)), range(CHUNK, len(self.steps), CHUNK))

    def table(self) -> pd.DataFrame:
        """Return all numbers of the steps, a row each."""
        names = self.agent.target_names
        question = name_asked(self.agent, self.target)[0]
        actions = self.states.actions[self.steps.positions].reshape(len(self.steps), -1)
        parts = [f" {i}" for i in range(actions.shape[1])] if actions.shape[1] > 1 else [""]
        columns: dict[str, Any] = {
            "step": self.steps.numbers,
            "episode": np.full(len(self.steps), self.steps.episode),
            "position": self.steps.positions,
            **{f"action{part}": actions[:, i] for i, part in enumerate(parts)},
            "explained": [question or names[int(one)] for one in self.taken],
            **self.columns,
        }
        measure = name_measure(self.agent)
        columns |= {f"{measure}: {name}": self.shares[:, i] for i, name in enumerate(names)}
        if self.features is not None:
            named, values, attributions = self.features
            columns |= {f"feature: {name}": values[:, i] for i, name in enumerate(named)}
            columns |= {f"attribution: {name}": attributions[:, i] for i, name in enumerate(named)}
        return WholeTable(columns)


def explain_steps(
    states: StateDataset,
    steps: Steps,
    explainer: Explainer,
    target: TargetLike = None,
    *,
    progress: bool = True,
) -> ExplainedSteps:
    """Explain steps of an episode.

    :param states: states of the agent, episode after episode
    :param steps: which of them are explained
    :param explainer: an explainer that is ready to explain
    :param target: what is explained in every step; the action taken when not given, or what the
        explainer was made for
    :param progress: show a progress bar
    """
    agent = explainer.agent
    target = explainer.own_target if target is None else target
    parts: list[dict[str, Tensor]] = []
    n = len(steps)
    with progress_bar("explaining", n, "states", progress) as bar:
        for positions in np.array_split(steps.positions, range(CHUNK, n, CHUNK)):
            batch = batch_taken(states, agent, positions, target)
            attributed = explainer.attribute_batch(batch)
            parts.append({key: each.cpu() for key, each in attributed.items()})
            bar.update(len(positions))
    by_key = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    return ExplainedSteps(states, steps, explainer, target, by_key)
