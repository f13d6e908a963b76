"""ParameterRandomization: do the maps change when the agent forgets what it has learnt?

The layers of the agent are re-initialised one after the other, from the output down (Adebayo et al.
2018, cascading parameter randomization; Huber et al. 2022 for reinforcement learning). A map that
stays the same does not depend on what was forgotten.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import copy_agent, find_layers
from sb3_explain.common.attributions import normalize
from sb3_explain.common.bootstrap import Interval, confidence_interval, make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import join_keys
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

#: stands before the names of the layers: the agent as it is
NOTHING = "nothing"
#: side of the window of the structural similarity
WINDOW = 7
#: follows the name of a learned explainer that still is what it learned from the whole agent
AS_IT_WAS = ", not retrained"


@dataclass(frozen=True)
class ParameterRandomization:
    """The outcome of :func:`parameter_randomization`.

    :param layers: names of the layers from the output down, after ``"nothing"``
    :param values: explainer -> layer -> ``"ssim"`` and ``"spearman"`` -> (n,) similarities of each
        state's map before and after this layer and all above it were randomised
    :param intervals: explainer -> layer -> measure -> mean and bounds
    """

    layers: tuple[str, ...]
    values: dict[str, dict[str, dict[str, Array]]]
    intervals: dict[str, dict[str, dict[str, Interval]]]

    def table(self) -> pd.DataFrame:
        """A line for each explainer, layer and measure."""
        import pandas as pd

        return pd.DataFrame(
            {"explainer": name, "layer": layer, "measure": measure, **interval._asdict()}
            for name, layers in self.intervals.items()
            for layer, measures in layers.items()
            for measure, interval in measures.items()
        )


@check_arguments
def parameter_randomization(
    agent: Agent,
    states: StateDataset,
    explainers: Iterable[str] | Mapping[str, Callable[[Agent], Explainer]],
    *,
    fit: Callable[[FittedExplainer], Any] | None = None,
    n_layers: int | None = None,
    n_evaluated: int = 100,
    batch_size: int = CHUNK,
    seed: int = 0,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    progress: bool = True,
) -> ParameterRandomization:
    """Similarity of the maps before and after the agent's layers are randomised.

    Every map is of what the whole agent would do, whatever the randomised one does. Explainers that
    learn are fitted on every randomised agent, and once more on the whole one, so that the row of
    ``"nothing"`` shows how alike two fits are; and their maps without being fitted again are shown
    too, which cannot change unless they read the agent.

    :param agent: to explain
    :param states: to explain it at, which no explainer has learned from
    :param explainers: names, or functions that make an explainer for an agent by name
    :param fit: fits a new explainer on states that its own agent has labelled
        (:func:`relabelled`); for explainers that learn
    :param n_layers: so many from the output down; all when not given
    :param n_evaluated: a random sample of this many
    :param batch_size: states that are explained at once
    :param seed: of the new weights, the sample and the bootstrap
    :param n_resamples: draws of the bootstrap
    :param confidence: of the intervals, in (0, 1)
    :param progress: show a bar on standard error
    :raises ExplainError: if there are no states, or ``fit`` is missing
    """
    factories: Mapping[str, Callable[[Agent], Explainer]]
    factories = (
        explainers if isinstance(explainers, Mapping) else {n: EXPLAINERS[n] for n in explainers}
    )
    if n_evaluated < 1 or len(states) == 0 or not factories:
        raise ExplainError("give at least one state and one explainer")
    sample = states.sample(n_evaluated, seed)
    batches = [
        states.batch(agent, some)
        for some in np.array_split(sample, range(batch_size, len(sample), batch_size))
    ]

    def made_for(agent: Agent) -> dict[str, Explainer]:
        made = {name: factory(agent) for name, factory in factories.items()}
        for name, explainer in made.items():
            if isinstance(explainer, FittedExplainer):
                if fit is None:
                    raise ExplainError(f"{name} learns: give fit=, a function that fits it")
                fit(explainer)
        return made

    steps = [(NOTHING, agent), *randomized_agents(agent, seed, n_layers)]
    with progress_bar("randomization", len(steps) + 1, "agents", progress) as bar:
        original = made_for(agent)
        before = attribute_batches(original, batches, agent)
        bar.update(1)
        values: dict[str, dict[str, dict[str, Array]]] = {}
        for layer, randomized in steps:
            made = made_for(randomized)
            for name, explainer in original.items():
                if isinstance(explainer, FittedExplainer) and layer != NOTHING:
                    made[name + AS_IT_WAS] = as_it_was = copy.copy(explainer)
                    as_it_was.agent = randomized
            for name, attributions in attribute_batches(made, batches, randomized).items():
                own = before[name.removesuffix(AS_IT_WAS)]
                values.setdefault(name, {})[layer] = similarity(own, attributions, batches[0])
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


def randomized_agents(
    agent: Agent, seed: int = 0, n_layers: int | None = None
) -> Iterator[tuple[str, Agent]]:
    """Agents that have forgotten one more layer each, from the output down.

    The layers are those that the scores pass through, in the opposite order. Their weights are
    drawn as torch draws those of a new layer. Layers that cannot be drawn anew are kept.

    :param agent: is not changed
    :param seed: of the weights; a layer gets the same ones however many are asked for
    :param n_layers: so many at most; all when not given
    :return: the layer's name in the policy, and an agent without it and all layers after it
    :raises ExplainError: if no layer can be randomised
    """
    layers = find_layers(agent)
    if not layers:
        raise ExplainError("no layer of this agent has reset_parameters(): nothing to randomise")
    forgotten = agent
    for depth, name in enumerate(layers[:n_layers]):
        forgotten = copy_agent(forgotten)
        layer: Any = forgotten.view.policy.get_submodule(name)
        fresh = copy.deepcopy(layer).cpu()
        with torch.random.fork_rng(devices=[]):
            drawn = int(np.random.SeedSequence([seed, depth]).generate_state(1)[0])
            torch.default_generator.manual_seed(drawn)  # torch's own would seed all GPUs too
            fresh.reset_parameters()
        layer.load_state_dict(fresh.state_dict())
        yield name, forgotten


# --- maps -------------------------------------------------------------------------------------


def attribute_batches(
    explainers: Mapping[str, Explainer], batches: Iterable[StateBatch], agent: Agent
) -> dict[str, Tensor]:
    """(n, ...) maps of every explainer, of ``agent``, for the targets of the batches."""
    attributions: dict[str, list[Tensor]] = {name: [] for name in explainers}
    for batch in batches:
        observations = join_keys(batch.by_key)
        theirs = StateBatch(agent, observations, batch.target, batch.policy_inputs)
        for name, explainer in explainers.items():
            attributions[name].append(theirs.flat(explainer.attribute_batch(theirs)).cpu())
    return {name: torch.cat(parts) for name, parts in attributions.items()}


def similarity(before: Tensor, after: Tensor, batch: StateBatch) -> dict[str, Array]:
    """How alike maps are: structural similarity of images, and rank correlation of all cells.

    Maps are divided by their largest magnitude first. Of several images in an observation, the
    structural similarity is the mean over them.

    :param before: (n, ...)
    :param after: (n, ...)
    :param batch: of states of the maps' form
    :return: (n,) by measure; no ``"ssim"`` where no image is observed
    """
    measures = {
        "spearman": np.array([rank_correlation(*p) for p in zip(before, after, strict=True)])
    }
    images = batch.images()
    if images:
        parts = [batch.unflat(normalize(attributions)) for attributions in (before, after)]
        measures["ssim"] = np.mean(
            [
                [image_similarity(a, b) for a, b in zip(*(p[name] for p in parts), strict=True)]
                for name in images
            ],
            axis=0,
        )
    return measures


def rank_correlation(before: Tensor, after: Tensor) -> float:
    """Spearman's, over all cells; 0 where one map is the same everywhere, NaN where both are."""
    from scipy import stats

    a, b = before.flatten().numpy(), after.flatten().numpy()
    flat = int(np.ptp(a) == 0) + int(np.ptp(b) == 0)
    if flat:
        return 0.0 if flat == 1 else np.nan
    return float(stats.spearmanr(a, b).statistic)


def image_similarity(before: Tensor, after: Tensor) -> float:
    """Structural similarity (Wang et al. 2004) of maps (C, H, W) in [-1, 1], mean over layers."""
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
