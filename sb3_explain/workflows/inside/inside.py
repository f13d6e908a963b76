"""inside: the layers of an agent, what they know, and what excites their units, in pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.attention import AttentionWeights, attention
from sb3_explain.common.bootstrap import make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.ridge import make_folds
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers.past_steps import PastSteps, past_steps
from sb3_explain.report.diagnosis_figure import Bars, diagnosis_figure
from sb3_explain.report.figures import save
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.diagnosis.checks.layers import measure_dead
from sb3_explain.workflows.inside.concepts import Labels, read_labels
from sb3_explain.workflows.inside.linear_probes import (
    N_PICTURES,
    N_STATES,
    LinearProbes,
    linear_probe,
)
from sb3_explain.workflows.inside.reading import choose_layers, read_activations
from sb3_explain.workflows.inside.units import (
    ActivatingStates,
    FollowingUnit,
    activating_states,
    find_following,
    measure_strengths,
    put_units_second,
)

T = TypeVar("T")

#: folder of the pictures
FOLDER = "inside"
#: smallest number of units of a layer whose units are looked at: heads have fewer
UNITS = 8


@dataclasses.dataclass(frozen=True)
class LayerFacts:
    """What a layer is.

    :param name: name of the layer
    :param kind: class of its module
    :param shape: shape of its output for one state
    :param dead: share of its units, or channels, that say the same in all states
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dead: float

    def __str__(self) -> str:
        """Say it in a line."""
        sizes = " x ".join(map(str, self.shape)) or "1"
        return f"{self.name}: {self.kind}, {sizes}, {self.dead:.0%} dead"


@dataclasses.dataclass(frozen=True, repr=False)
class Inside:
    """The inside of an agent; :meth:`save` writes its pictures.

    >>> from sb3_explain import inside
    >>> found = inside(agent, states, layers=["mlp_extractor.policy_net.1"])
    >>> print(found.layers[0])
    mlp_extractor.policy_net.1: Tanh, 64, 0% dead

    :param layers: the innermost layers, in the order of the pass
    :param probes: linear probes of what is known of the states
    :param following: the unit that follows each concept most closely
    :param sheets: the states that excite the first of these units most
    :param attention: attention weights of a few states, of agents that attend
    :param past: attributions to past steps, of recurrent agents
    :param skipped: why a part is missing, by its name
    """

    layers: tuple[LayerFacts, ...]
    probes: LinearProbes | None
    following: tuple[FollowingUnit, ...]
    sheets: tuple[ActivatingStates, ...]
    attention: AttentionWeights | None
    past: PastSteps | None
    skipped: Mapping[str, str]

    def __str__(self) -> str:
        """Write the layers, the best layer of each concept, and the units that follow concepts."""
        lines = ["layers:", *(f"  {layer}" for layer in self.layers)]
        if self.probes is not None:
            lines.append("known best, by a linear probe on unseen episodes (shuffled labels):")
            for concept in self.probes.concepts:
                best = self.probes.best(concept)
                said = f"{best.layer}, R2 {best.r2.mean:.2f} ({best.control.mean:.2f})"
                lines.append(f"  {concept}: {said if best.r2.low > 0 else 'in no layer'}")
        if self.following:
            lines += ["units that follow a concept:", *(f"  {unit}" for unit in self.following)]
        if self.past is not None:
            lines.append(str(self.past))
        lines += [f"{name} left out: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data, as ``inside.json`` has them."""
        rows = [] if self.probes is None else self.probes.table().to_dict("records")
        return {
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "probes": rows,
            "following": [dataclasses.asdict(unit) for unit in self.following],
            "skipped": dict(self.skipped),
        }

    def draw(self) -> dict[str, bytes]:
        """Draw all pictures, PNG by the name of the file."""
        labels = [f"{layer.name} ({np.prod(layer.shape, dtype=int)})" for layer in self.layers]
        dead = [layer.dead for layer in self.layers]
        bars = Bars("Dead units by layer (and its size)", "share of the units", labels, dead)
        drawn = {"layers.png": diagnosis_figure([bars])}
        if self.probes is not None:
            drawn["linear_probes.png"] = self.probes.plot()
        for sheet in self.sheets:
            drawn[f"unit_{sheet.layer}_{sheet.unit}.png"] = sheet.plot()
        if self.attention is not None:
            drawn["attention.png"] = self.attention.plot()
        if self.past is not None:
            drawn["past_steps.png"] = self.past.plot()
        return drawn

    @check_arguments
    def save(self, folder: str | Path) -> Path:
        """Write ``inside/`` with the pictures, and ``inside.json`` with the numbers, into a folder.

        :param folder: the folder, which is made if it is not there
        :return: path of the pictures
        """
        folder = Path(folder)
        for name, png in self.draw().items():
            save(folder / FOLDER / name, png)
        write_json(folder / "inside.json", {**self.to_dict(), "made": describe_machine()})
        return folder / FOLDER


@check_arguments
def inside(
    agent: Agent | BaseAlgorithm,
    states: StateDataset,
    *,
    concepts: Labels = None,
    layers: str | Sequence[str] | None = None,
    n_states: int | None = None,
    n_sheets: int = 3,
    seed: int = 0,
    progress: bool = False,
) -> Inside:
    """Look inside of an agent: its layers, what they know, and what excites their units.

    >>> from sb3_explain import inside
    >>> found = inside(agent, states, concepts=["value"], layers=["mlp_extractor.value_net.1"])
    >>> found.following[0].layer
    'mlp_extractor.value_net.1'
    >>> pictures = found.save(folder)

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param states: states that it played
    :param concepts: what layers are asked for, as :func:`linear_probe` takes ``labels``
    :param layers: names of ``agent.layers``; all innermost ones when not given
    :param n_states: number of states that are looked at; 1500, or 500 of pictures, when not given
    :param n_sheets: number of units whose states are shown, at most
    :param seed: random seed of folds and intervals
    :param progress: show a progress bar on standard error
    :return: tables and pictures
    :raises ExplainError: for an unknown layer or concept
    """
    known = read_agent(agent)
    states.require_labels_of(known)
    names = [layers] if isinstance(layers, str) else layers
    names = choose_layers(known) if names is None else list(names)
    n = n_states or (N_PICTURES if known.layout.pictures else N_STATES)
    positions = states.spread(require_whole("n_states", n))
    modules = dict(known.view.policy.named_modules())
    facts, strengths = [], {}
    for name in names:
        activations = read_activations(known, states, positions, name)
        by_unit = put_units_second(activations)
        kind, shape = type(modules[name]).__name__, tuple(activations.shape[1:])
        facts.append(LayerFacts(name, kind, shape, measure_dead(by_unit)))
        if by_unit.shape[1] >= UNITS:
            strengths[name] = measure_strengths(by_unit).numpy()
    labels = read_labels(known, states, concepts, positions)
    skipped: dict[str, str] = {}

    def attempt(part: str, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ExplainError as error:  # what this agent, or so few states, do not have
            skipped[part] = str(error)
            return None

    probes = attempt(
        "linear probes",
        lambda: linear_probe(
            known, states, concepts, names, n_states=n, seed=seed, progress=progress
        ),
    )
    following: list[FollowingUnit] = []
    if probes is not None and strengths:
        clusters = make_clusters(states.episode, states.steps)[positions]
        following = find_following(strengths, labels, make_folds(clusters, 2, seed) == 0)
    shown = dict.fromkeys((one.layer, one.unit) for one in following)
    return Inside(
        tuple(facts),
        probes,
        tuple(following),
        tuple(activating_states(known, states, *one) for one in list(shown)[:n_sheets]),
        attempt("attention", lambda: attend(known, states)),
        attempt("past steps", lambda: past_steps(known, states, find_middle(states))),
        skipped,
    )


def attend(agent: Agent, states: StateDataset) -> AttentionWeights:
    """Capture the attention in the state in the middle of the longest episode."""
    batch = states.batch(agent, [find_middle(states)])
    seen = agent.layout.restore(batch.by_key)
    return attention(agent, seen, batch.policy_inputs.get("lstm_states"))


def find_middle(states: StateDataset) -> int:
    """Find the state in the middle of the longest episode."""
    numbers, sizes = np.unique(states.episode, return_counts=True)
    of_longest = np.flatnonzero(states.episode == numbers[sizes.argmax()])
    return int(of_longest[len(of_longest) // 2])
