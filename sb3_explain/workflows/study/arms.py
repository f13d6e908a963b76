"""The arms of a study: no map, the maps of explainers, and two placebos that look like maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_layers
from sb3_explain.agents.observations import find_image
from sb3_explain.evaluation.parameter_randomization import randomize_layers
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.make import make_unfitted
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.saliency_video import scale_newest
from sb3_explain.workflows.study.plan import NO_MAP, RANDOM_MAP, RANDOMIZED_AGENT

Array = NDArray[Any]

#: explainer of the randomized agent where all that are studied learn
USUAL = "integrated_gradients"
#: number of states that are explained at once
CHUNK = 32


@dataclasses.dataclass(frozen=True)
class Arms:
    """What makes the maps of each arm, for one agent.

    :param agent: the agent that participants are asked about
    :param states: its states
    :param explainers: explainers of it by their names; the first is what placebos imitate
    :param placebo: explainer of the agent with random weights; ``None`` if no weights can be drawn
    :param seed: random seed of the random maps
    """

    agent: Agent
    states: StateDataset
    explainers: Mapping[str, Explainer]
    placebo: Explainer | None
    seed: int

    def names(self) -> list[str]:
        """List the names of all arms."""
        placebos = [RANDOM_MAP, *([] if self.placebo is None else [RANDOMIZED_AGENT])]
        return [NO_MAP, *self.explainers, *placebos]

    def attribute(self, positions: NDArray[np.int64]) -> dict[str, Array]:
        """Compute the maps (n, H, W) of each arm that has one, in [-1, 1], by the arm's name.

        All are of the action that the agent takes.

        :param positions: (n,) positions of the states
        """
        drawn: dict[str, list[Array]] = {}
        for rows in _split(len(positions)):
            batch = self.states.batch(self.agent, positions[rows])
            for name, explainer in self.explainers.items():
                drawn.setdefault(name, []).append(_attribute(explainer, batch))
            if self.placebo is not None:
                randomized = StateBatch(
                    self.placebo.agent,
                    self.states.observations(positions[rows]),
                    batch.target,
                    self.states.policy_inputs(positions[rows]),
                )
                drawn.setdefault(RANDOMIZED_AGENT, []).append(_attribute(self.placebo, randomized))
        attributions = {name: np.concatenate(parts) for name, parts in drawn.items()}
        imitated = attributions[next(iter(self.explainers))]
        seeds = (np.random.default_rng([self.seed, int(position)]) for position in positions)
        attributions[RANDOM_MAP] = np.stack(
            [draw_surrogate(each, rng) for each, rng in zip(imitated, seeds, strict=True)]
        )
        return attributions


def _split(n: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, n, CHUNK))


def _attribute(explainer: Explainer, batch: StateBatch) -> Array:
    image = find_image(explainer.agent)
    assert image is not None
    return scale_newest(explainer, explainer.attribute_batch(batch)[image])


def make_arms(
    agent: Agent,
    states: StateDataset,
    explainers: Mapping[str, Explainer],
    baseline_states: StateDataset,
    seed: int,
) -> Arms:
    """Make the arms of a study.

    The agent of the placebo has none of its weights left: all layers are drawn anew. It is
    explained by the first explainer that does not learn. Where no layer can be drawn anew, there
    is no such arm.

    :param agent: the agent
    :param states: its states
    :param explainers: explainers that are ready to explain
    :param baseline_states: states that a baseline is fitted on
    :param seed: random seed of the weights and of the random maps
    """
    if not find_layers(agent):
        return Arms(agent, states, explainers, None, seed)
    *_, (_, forgotten) = randomize_layers(agent, seed)
    plain = [one.name for one in explainers.values() if not isinstance(one, FittedExplainer)]
    placebo = make_unfitted(plain[0] if plain else USUAL, forgotten, baseline_states)
    return Arms(agent, states, explainers, placebo, seed)


def draw_surrogate(attribution: Array, rng: np.random.Generator) -> Array:
    """Draw a random map that looks like another one: of the same values, and about as smooth.

    Its spectrum has the magnitudes of the other's and random phases, and its values, in order, are
    the other's (amplitude-adjusted surrogate, Theiler et al. 1992).

    :param attribution: (H, W) the map that is imitated
    :param rng: random numbers
    """
    magnitudes = np.abs(np.fft.rfft2(attribution))
    phases = np.angle(np.fft.rfft2(rng.standard_normal(attribution.shape)))
    field = np.fft.irfft2(magnitudes * np.exp(1j * phases), attribution.shape)
    surrogate = np.empty(attribution.size, attribution.dtype)
    surrogate[field.ravel().argsort(kind="stable")] = np.sort(attribution, axis=None)
    return surrogate.reshape(attribution.shape)
