"""Parameter randomization: do attributions change when the agent forgets what it has learned?

The layers of the agent are re-initialised one after the other, from the output down (Adebayo et al.
2018, cascading parameter randomization; Huber et al. 2022 for reinforcement learning). Attributions
that stay the same do not depend on what was forgotten.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.layers import copy_agent, find_layers
from sb3_explain.agents.reinitialize import reinitialize
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.common.attributions import normalize
from sb3_explain.common.bootstrap import Interval, confidence_interval, make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

#: name of the first row, of the agent as it is
NOTHING = "nothing"
#: side of the window of the structural similarity, in pixels
WINDOW = 7
#: follows the name of an explainer that is still fitted to the whole agent
NOT_RETRAINED = ", not retrained"


@dataclass(frozen=True)
class ParameterRandomization:
    """The outcome of :func:`parameter_randomization`.

    :param layers: ``"nothing"``, then the names of the layers from the output down
    :param values: (n,) similarities of each state's attributions before and after a layer and all
        above it were randomised, by explainer, layer and measure (``"ssim"`` and ``"spearman"``)
    :param intervals: mean and bounds by explainer, layer and measure
    """

    layers: tuple[str, ...]
    values: dict[str, dict[str, dict[str, Array]]]
    intervals: dict[str, dict[str, dict[str, Interval]]]

    def table(self) -> pd.DataFrame:
        """Return a row for each explainer, layer and measure: the mean and its interval."""
        from sb3_explain.common.whole_table import WholeTable

        return WholeTable(
            {"explainer": name, "layer": layer, "measure": measure, **interval._asdict()}
            for name, layers in self.intervals.items()
            for layer, measures in layers.items()
            for measure, interval in measures.items()
        )


@check_arguments
def parameter_randomization(
    agent: Agent | BaseAlgorithm,
    states: StateDataset,
    explainers: Iterable[str] | Mapping[str, Callable[[Agent], Explainer]],
    *,
    target: TargetLike = None,
    fit: Callable[[FittedExplainer], Any] | None = None,
    n_layers: int | None = None,
    n_evaluated: int = 100,
    batch_size: int = CHUNK,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = True,
) -> ParameterRandomization:
    """Compare attributions before and after the agent's layers are randomised.

    All attributions are those of the action that the whole agent would choose, whatever a
    randomised one does. An explainer that learns is fitted to every randomised agent. It is also
    fitted to the whole agent a second time, so that the row ``"nothing"`` shows how alike two fits
    are, and shown without being fitted again, which cannot change unless it reads the agent.

    >>> from sb3_explain import parameter_randomization
    >>> result = parameter_randomization(
    ...     agent, states, ["gradient"], n_layers=1, n_evaluated=20, n_resamples=100, progress=False
    ... )
    >>> result.layers
    ('nothing', 'action_net')
    >>> result.intervals["gradient"]["nothing"]["spearman"].mean
    1.0

    :param agent: the agent to explain
    :param states: states to explain it at, which no explainer has learned from
    :param explainers: names of explainers, or by name functions that make an explainer of an agent
    :param target: what is explained in every state (see :mod:`sb3_explain.agents.targets`); the
        greedy action when not given
    :param fit: function that fits a new explainer, on states that its agent has labelled
        (:func:`sb3_explain.relabel`); needed by explainers that learn
    :param n_layers: number of layers to randomise, from the output down; all when not given
    :param n_evaluated: number of states to compare at, a random sample
    :param batch_size: number of states that are explained at once
    :param seed: random seed of the new weights, the sample and the bootstrap
    :param n_resamples: number of the bootstrap's resamples
    :param confidence: confidence level of the intervals, in (0, 1)
    :param progress: show a progress bar on standard error
    :return: similarities of the attributions, with intervals
    :raises ExplainError: if there are no states, or ``fit`` is missing
    """
    agent = read_agent(agent)
    if isinstance(explainers, str):
        explainers = [explainers]
    if not isinstance(explainers, Iterable):
        raise ExplainError(f"explainers={explainers!r}: give names, or functions by name")
    factories: Mapping[str, Callable[[Agent], Explainer]]
    factories = (
        explainers if isinstance(explainers, Mapping) else {n: EXPLAINERS[n] for n in explainers}
    )
    if n_evaluated < 1 or len(states) == 0 or not factories:
        raise ExplainError("give at least one state and one explainer")
    sample = states.sample(n_evaluated, seed)
    batches = [
        states.batch(agent, some, target)
        for some in np.array_split(sample, range(batch_size, len(sample), batch_size))
    ]

    def make_all(agent: Agent) -> dict[str, Explainer]:
        made = {name: factory(agent) for name, factory in factories.items()}
        for name, explainer in made.items():
            if isinstance(explainer, FittedExplainer):
                if fit is None:
                    raise ExplainError(f"{name} learns: give fit=, a function that fits it")
                fit(explainer)
        return made

    steps = [(NOTHING, agent), *randomize_layers(agent, seed, n_layers)]
    with progress_bar("randomization", len(steps) + 1, "agents", progress) as bar:
        original = make_all(agent)
        before = attribute_batches(original, batches, agent)
        bar.update(1)
        values: dict[str, dict[str, dict[str, Array]]] = {}
        for layer, randomized in steps:
            made = make_all(randomized)
            for name, explainer in original.items():
                if isinstance(explainer, FittedExplainer) and layer != NOTHING:
                    made[name + NOT_RETRAINED] = not_retrained = copy.copy(explainer)
                    not_retrained.agent = randomized
            for name, attributions in attribute_batches(made, batches, randomized).items():
                own = before[name.removesuffix(NOT_RETRAINED)]
                values.setdefault(name, {})[layer] = compare(own, attributions, batches[0])
            bar.update(1)
    clusters = make_clusters(states.episode)[sample]
    intervals = {
        name: {
            layer: {
                measure: confidence_interval(
                    similarities,
                    clusters,
                    n_resamples=n_resamples,
                    confidence=confidence,
                    seed=seed,
                )
                for measure, similarities in measures.items()
            }
            for layer, measures in layers.items()
        }
        for name, layers in values.items()
    }
    return ParameterRandomization(tuple(layer for layer, _ in steps), values, intervals)


# --- agents -----------------------------------------------------------------------------------


def randomize_layers(
    agent: Agent, seed: int = 0, n_layers: int | None = None
) -> Iterator[tuple[str, Agent]]:
    """Yield agents that have forgotten one more layer each, from the output down.

    The layers are those that the scores pass through, in the opposite order. Their weights are
    drawn as torch draws those of a new layer, under a weight or spectral norm, too. Layers that
    cannot be drawn anew stay as they are.

    :param agent: the agent to copy, which is not changed
    :param seed: random seed of the weights; a layer's do not depend on ``n_layers``
    :param n_layers: at most this many layers; all when not given
    :return: the layer's name in the policy, and an agent that has forgotten it and all after it
    :raises ExplainError: if no layer can be randomised
    """
    layers = find_layers(agent)
    if not layers:
        raise ExplainError("no layer of this agent has reset_parameters(): nothing to randomise")
    forgotten = agent
    for depth, name in enumerate(layers[:n_layers]):
        forgotten = copy_agent(forgotten)
        drawn = int(np.random.SeedSequence([seed, depth]).generate_state(1)[0])
        reinitialize(forgotten.view.policy.get_submodule(name), drawn)
        yield name, forgotten


# --- attributions -----------------------------------------------------------------------------


def attribute_batches(
    explainers: Mapping[str, Explainer], batches: Iterable[StateBatch], agent: Agent
) -> dict[str, Tensor]:
    """Return (n, ...) attributions of ``agent`` to the batches' targets, by explainer."""
    attributions: dict[str, list[Tensor]] = {name: [] for name in explainers}
    for batch in batches:
        observations = agent.layout.restore(batch.by_key)
        theirs = StateBatch(agent, observations, batch.explained, batch.policy_inputs)
        for name, explainer in explainers.items():
            attributions[name].append(theirs.flatten_keys(explainer.attribute_batch(theirs)).cpu())
    return {name: torch.cat(parts) for name, parts in attributions.items()}


def compare(before: Tensor, after: Tensor, batch: StateBatch) -> dict[str, Array]:
    """Measure how alike attributions are, state by state.

    ``"spearman"`` is the rank correlation over all features. ``"ssim"`` is the structural
    similarity of images, the mean over them where there are several; their attributions are divided
    by their largest magnitude first.

    :param before: (n, ...) attributions
    :param after: (n, ...) attributions of the same states
    :param batch: states of the same form
    :return: (n,) similarities by measure; no ``"ssim"`` where no image is observed
    """
    measures = {
        "spearman": np.array([correlate_ranks(*p) for p in zip(before, after, strict=True)])
    }
    images = batch.images()
    if images:
        parts = [batch.split_keys(normalize(attributions)) for attributions in (before, after)]
        measures["ssim"] = np.mean(
            [
                [compare_images(a, b) for a, b in zip(*(p[name] for p in parts), strict=True)]
                for name in images
            ],
            axis=0,
        )
    return measures


def correlate_ranks(before: Tensor, after: Tensor) -> float:
    """Return Spearman's rank correlation over all features.

    It is 0 where one of the two is the same everywhere, NaN where both are.
    """
    from scipy import stats

    a, b = before.flatten().numpy(), after.flatten().numpy()
    flat = int(np.ptp(a) == 0) + int(np.ptp(b) == 0)
    if flat:
        return 0.0 if flat == 1 else np.nan
    return float(stats.spearmanr(a, b).statistic)


def compare_images(before: Tensor, after: Tensor) -> float:
    """Return the structural similarity (Wang et al. 2004), the mean over the channels.

    :param before: (C, H, W) attributions in [-1, 1]
    :param after: (C, H, W) attributions in [-1, 1]
    """
    from skimage.metrics import structural_similarity

    signed = bool((before < 0).any() or (after < 0).any())
    window = min(WINDOW, *before.shape[1:])
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            before.numpy(),
            after.numpy(),
            win_size=window - 1 + window % 2,
            data_range=2.0 if signed else 1.0,
            channel_axis=0,
        )
    )
