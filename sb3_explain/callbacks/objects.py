"""ObjectAttentionCallback: how much of the maps lies on the objects of an Atari game."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.arguments import make_trial, require_ready
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.common.files import write_json
from sb3_explain.common.numbers import require_whole
from sb3_explain.envs.objects import read_objects
from sb3_explain.evaluation.object_states import (
    ObjectStates,
    Player,
    collect_objects,
    label_objects,
)
from sb3_explain.evaluation.objects import object_attention
from sb3_explain.explainers.make import QUICK, default_explainer, make_explainer


class ObjectAttentionCallback(ExplainCallback):
    """Attention to each object of an Atari game over the training, as scalars.

    ``objects/<category>`` is the share of the map's mass on the objects over their share of the
    area: 1 for a map that prefers nothing. The states are played in an environment of their own by
    the agent of the first measurement, and stay the same. ``objects.json`` of the folder holds the
    shares, too. See :func:`sb3_explain.object_attention`.

    :param explainer: name of an explainer that needs no fit; when not given
        :func:`sb3_explain.explainers.make.default_explainer`
    :param every: number of timesteps, of all environments together, between two measurements;
        ``None`` for one at the end
    :param n_states: number of states
    :param spacing: number of steps between two of them
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param explainer_kwargs: arguments of the explainer
    :param budget: largest duration, as a share of the training's own, of all but the first
        time and that of the final agent
    :param options: ``on_error``, ``seed``, ``verbose``, ``action_names`` and ``feature_names`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown name, or an explainer that has to be fitted

    >>> from sb3_explain import ObjectAttentionCallback
    >>> callback = ObjectAttentionCallback("gradient", every=100_000, n_states=16)
    """

    kind = "objects"

    def __init__(
        self,
        explainer: str | None = None,
        every: int | None = 50_000,
        n_states: int = 24,
        spacing: int = 31,
        folder: str | None = None,
        *,
        explainer_kwargs: Mapping[str, Any] | None = None,
        budget: float | None = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(every, folder, budget=budget, **options)
        self.explainer = explainer
        self.explainer_kwargs = dict(explainer_kwargs or {})
        if explainer is not None:
            require_ready(explainer, self.explainer_kwargs)
        self.n_states = require_whole("n_states", n_states)
        self.spacing = require_whole("spacing", spacing)

    def begin(self, agent: Agent) -> None:
        #: name of the explainer
        self.name = self.explainer or default_explainer(agent, quick=True)
        self.given = self.explainer_kwargs if self.explainer else QUICK.get(self.name, {})
        make_trial(self.name, agent, self.given)
        player = Player(agent)
        player.reset(self.seed)
        read_objects(player.env)
        player.env.close()
        #: the states, once they have been played
        self.states: ObjectStates | None = None
        #: mean share of the mass and mean ratio by category, by timestep
        self.measured: dict[int, dict[str, dict[str, float]]] = {}

    def work(self, folder: Path) -> None:
        agent = self.take_agent()
        if self.states is None:
            self.states = collect_objects(agent, self.n_states, every=self.spacing, seed=self.seed)
        explainer = make_explainer(
            self.name, agent, label_objects(self.states, agent), **self.given
        )
        found = object_attention(explainer, self.states)
        self.measured[self.num_timesteps] = {
            category: {"share": float(np.nanmean(share)), "ratio": float(np.nanmean(ratio))}
            for (category, share), ratio in zip(
                found.shares.items(), found.ratios.values(), strict=True
            )
        }
        now = self.measured[self.num_timesteps]
        self.write({f"objects/{category}": one["ratio"] for category, one in now.items()})
        rows = [{"timesteps": at, "objects": one} for at, one in self.measured.items()]
        write_json(folder / "objects.json", {"explainer": self.name, "measured": rows})
