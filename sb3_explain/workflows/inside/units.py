"""The units of a layer: which states excite one most, and which follow a known quantity."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.notebook import write_facts
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.signatures import check_arguments
from sb3_explain.report.figures import save
from sb3_explain.report.palette import ThemeName
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.inside.reading import read_activations
from sb3_explain.workflows.state_sheet import choose_apart, draw_states
from sb3_explain.workflows.whole_episodes import name_state


def put_units_second(activations: Tensor) -> Tensor:
    """(n, U, ...) activations of a layer (n, ...), whose tokens (n, T, U) have their units last."""
    if activations.dim() == 1:
        return activations[:, None]
    return activations.movedim(2, 1) if activations.dim() == 3 else activations


def measure_strengths(activations: Tensor) -> Tensor:
    """(n, U) how much each unit is excited: the largest activation of a channel over its places.

    :param activations: (n, U, ...) activations
    """
    return activations.flatten(2).amax(dim=2) if activations.dim() > 2 else activations


@dataclasses.dataclass(frozen=True, repr=False)
class ActivatingStates:
    """The states that excite a unit most, as :func:`activating_states` finds them.

    >>> from sb3_explain import activating_states
    >>> found = activating_states(agent, states, "mlp_extractor.policy_net.1", 3, k=2)
    >>> found.save(folder / "unit.png").name
    'unit.png'

    :param agent: the agent
    :param states: its states
    :param layer: name of the layer
    :param unit: number of the unit
    :param positions: (k,) positions of the states, the most exciting first
    :param values: (k,) activations of the unit; of a channel the largest over its places
    :param usual: 5, 50 and 95 % quantiles of its activations in all states
    :param places: (k, h, w) activations of a channel of pictures; ``None`` of other units
    """

    agent: Agent
    states: StateDataset
    layer: str
    unit: int
    positions: NDArray[np.int64]
    values: NDArray[Any]
    usual: tuple[float, float, float]
    places: NDArray[Any] | None = None

    def __str__(self) -> str:
        """Say which unit it is, and which states excite it."""
        low, middle, high = self.usual
        lines = [
            f"unit {self.unit} of {self.layer}: usually {middle:.3g} (5 to 95 %: {low:.3g} to "
            f"{high:.3g})"
        ]
        named = (name_state(self.states, int(position)) for position in self.positions)
        lines += [f"  {value:.3g}  {name}" for name, value in zip(named, self.values, strict=True)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return write_facts(str(self).partition("\n")[0], {}, png=self.plot())

    @check_arguments
    def save(self, path: str | Path) -> Path:
        """Write the contact sheet.

        :param path: path of the PNG file
        """
        save(path, self.plot())
        return Path(path)

    def plot(self, *, theme: ThemeName = "light") -> bytes:
        """Draw the states on a contact sheet; beside a picture, where in it a channel is excited.

        :param theme: ``"light"`` or ``"dark"``
        :return: PNG
        """
        return draw_states(
            self.agent, self.states, self.positions,
            [f"unit {value:.3g}" for value in self.values], places=self.places, theme=theme,
            title=f"States that excite unit {self.unit} of {self.layer} most",
        )  # fmt: skip


@check_arguments
def activating_states(
    agent: Agent | BaseAlgorithm,
    states: StateDataset,
    layer: str,
    unit: int,
    *,
    k: int = 8,
    n_states: int = 2000,
) -> ActivatingStates:
    """Find the states that excite a unit most.

    States of one episode are at least ten steps apart, so that they are different ones.

    >>> from sb3_explain import activating_states
    >>> found = activating_states(agent, states, "mlp_extractor.policy_net.1", 3, k=2)
    >>> found.values[0] >= found.values[1]
    np.True_

    :param agent: the agent
    :param states: states that it played
    :param layer: name of a layer, one of ``agent.layers``
    :param unit: number of the unit, from 0: a number of the layer's output, a channel of pictures
        (B, C, h, w), or a feature of tokens (B, T, features)
    :param k: number of states, at most
    :param n_states: number of states that are looked at, spread over all
    :raises ExplainError: for an unknown layer, or a unit that it does not have
    """
    agent = read_agent(agent)
    require_known("layer", [layer], agent.layers)
    require_whole("k", k)
    looked = states.spread(require_whole("n_states", n_states))
    activations = put_units_second(read_activations(agent, states, looked, layer))
    n_units = activations.shape[1]
    if not 0 <= unit < n_units:
        raise ExplainError(f"{layer} has no unit {unit}: give one of 0 to {n_units - 1}")
    strengths = measure_strengths(activations)[:, unit].numpy()
    steps, episode = states.steps[looked], states.episode[looked]
    chosen = choose_apart(np.argsort(-strengths, kind="stable"), episode, steps, k)
    places = activations[chosen, unit].numpy() if activations.dim() == 4 else None
    low, middle, high = np.quantile(strengths, [0.05, 0.5, 0.95]).tolist()
    return ActivatingStates(
        agent, states, layer, unit, looked[chosen], strengths[chosen], (low, middle, high), places
    )


@dataclasses.dataclass(frozen=True)
class FollowingUnit:
    """The unit that follows a concept most closely.

    :param concept: name of the concept
    :param layer: name of the layer
    :param unit: number of the unit
    :param r: correlation of its activation with the concept in states that it was not chosen by
    """

    concept: str
    layer: str
    unit: int
    r: float

    def __str__(self) -> str:
        """Say what follows what, and how closely."""
        return f"{self.concept}: unit {self.unit} of {self.layer} (r = {self.r:+.2f})"


def find_following(
    strengths: Mapping[str, NDArray[Any]],
    concepts: Mapping[str, NDArray[Any]],
    chosen_by: NDArray[Any],
) -> list[FollowingUnit]:
    """Find the unit that follows each concept most closely, the closest first.

    The unit is chosen by some states, and its correlation is that in the others: the best of many
    units seems better than it is in the states that it was chosen by.

    :param strengths: (n, U) activations by layer
    :param concepts: (n,) numbers by name, NaN where they are not known
    :param chosen_by: (n,) whether a state is one of those that units are chosen by
    """
    found = []
    for name, labels in concepts.items():
        known = np.isfinite(labels)
        first, others = known & chosen_by, known & ~chosen_by
        if not (first.any() and others.any()):
            continue
        of_layers = {
            layer: np.abs(correlate(each[first], labels[first]))
            for layer, each in strengths.items()
        }
        layer = max(of_layers, key=lambda one: of_layers[one].max())
        unit = int(of_layers[layer].argmax())
        r = correlate(strengths[layer][others, unit : unit + 1], labels[others])[0]
        found.append(FollowingUnit(name, layer, unit, float(r)))
    return sorted(found, key=lambda one: -abs(one.r))


def correlate(rows: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """(U,) correlation of each column of rows (n, U) with labels (n,); 0 of what never changes."""
    x, y = rows - rows.mean(axis=0, dtype=np.float64), labels - labels.mean()
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    correlation: NDArray[np.float64] = np.where(
        scale > 1e-12, (x * y[:, None]).sum(axis=0) / np.maximum(scale, 1e-12), 0.0
    )
    return correlation
