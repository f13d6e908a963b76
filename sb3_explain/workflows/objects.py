"""How much of the maps of an agent lies on the objects of its game, and whether these matter."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import normalize
from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.files import write_json, write_text
from sb3_explain.envs.objects import read_objects
from sb3_explain.evaluation.object_states import ObjectStates, collect_objects, label_objects
from sb3_explain.evaluation.objects import (
    ObjectAttention,
    find_removals,
    object_agreement,
    object_attention,
)
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.controls import Random
from sb3_explain.explainers.make import make_explainer
from sb3_explain.report.figures import save
from sb3_explain.report.object_figure import object_figure
from sb3_explain.workflows.chosen_explainers import list_defaults

#: folder of the results within an output folder
OBJECTS = "objects"
#: what the agreement is with, in words
KINDS = {"picture": "what the policy does without the object in the picture",
         "game": "the return without it in the game"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ObjectReport:
    """How much of the maps of explainers lies on objects, and whether these matter.

    :param head: which states of which game they are
    :param attention: the attention to objects by explainer
    :param agreement: by explainer, the correlation with the change of the policy (``"picture"``)
        and, where the game can be played without its objects, of the return (``"game"``)
    :param figure: PNG of one state
    """

    head: str
    attention: Mapping[str, ObjectAttention]
    agreement: Mapping[str, Mapping[str, Interval]]
    figure: bytes = dataclasses.field(repr=False)

    def __str__(self) -> str:
        """Say in a line for each explainer where its maps lie, and how far this is right."""
        return "\n".join([self.head, *map(self.describe, self.attention)])

    def describe(self, name: str) -> str:
        """Say in a line where the maps of an explainer lie, and how far this is right."""
        found = self.attention[name]
        shares = ", ".join(
            f"{category} {np.nanmean(share):.1%} of the map "
            f"({np.nanmean(found.ratios[category]):.1f} times its share of the area)"
            for category, share in found.shares.items()
        )
        agreements = ", with ".join(
            f"{KINDS[kind]} {one.mean:.2f} ({one.low:.2f} to {one.high:.2f})"
            for kind, one in self.agreement[name].items()
        )
        return f"{name}: {shares}; rank correlation with {agreements}"

    def save(self, folder: Path) -> Path:
        """Write ``objects.png``, ``objects.txt`` and ``objects.json``.

        :param folder: folder, which is created
        :return: the picture
        """
        folder.mkdir(parents=True, exist_ok=True)
        plain = {
            name: {
                "shares": {key: share.tolist() for key, share in one.shares.items()},
                "ratios": {key: ratio.tolist() for key, ratio in one.ratios.items()},
                "agreement": {key: each._asdict() for key, each in self.agreement[name].items()},
            }
            for name, one in self.attention.items()
        }
        write_json(folder / "objects.json", {"states": self.head, "explainers": plain})
        write_text(folder / "objects.txt", f"{self}\n")
        save(folder / "objects.png", self.figure)
        return folder / "objects.png"


def report_objects(
    agent: Agent,
    explainers: Sequence[str] | None = None,
    *,
    n_states: int = 24,
    every: int = 31,
    n_steps: int = 60,
    seed: int = 0,
) -> ObjectReport:
    """Play a game, and measure how much of the maps lies on its objects, and whether they matter.

    :param agent: agent of an Atari game whose objects are known
    :param explainers: names of explainers that need no fit; those of a page and random maps when
        not given
    :param n_states: number of states
    :param every: number of steps between two of them
    :param n_steps: number of steps that are played on without an object, where this is known
    :param seed: random seed of the first episode and of the bootstrap
    :raises ExplainError: for another agent, or an explainer that does not support it
    """
    names = [*list_defaults(agent), Random.name] if explainers is None else explainers
    states = collect_objects(agent, n_states, every=every, seed=seed)
    labeled = label_objects(states, agent)
    made = {name: make_explainer(name, agent, labeled) for name in names}
    played_on = n_steps if find_removals(states) else 0
    env_id = states.player.env_id
    head = f"{env_id}: {len(states)} states, {every} steps apart; objects: "
    head += ", ".join(states.list_categories())
    head += f"; {played_on} steps are played on without each" if played_on else ""
    return ObjectReport(
        head,
        {name: object_attention(one, states) for name, one in made.items()},
        object_agreement(made, states, n_steps=played_on, seed=seed),
        draw_objects(states, next(iter(made.values()))),
    )


def draw_objects(states: ObjectStates, explainer: Explainer) -> bytes:
    """Draw the first of the states that show most categories of objects, and a map of it: a PNG.

    :param states: states with objects
    :param explainer: the explainer of the map
    """
    shown = [len({each.category for each in state[-1]}) for state in states.objects]
    index = int(np.argmax(shown))
    player = states.player
    player.restore(states.snapshots[index])
    boxes = [(each.category, each.box) for each in read_objects(player.env)]
    attributions = explainer.attribute(states.observations[index : index + 1])
    assert isinstance(attributions, Tensor)
    found = normalize(attributions.abs().sum(dim=1, keepdim=True))[0, 0].cpu().numpy()
    return object_figure(states.screens[index], boxes, found)
