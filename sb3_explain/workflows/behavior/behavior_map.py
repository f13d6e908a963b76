"""behavior_map: what an agent does, as clusters of its states and the ways between them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.common.errors import ExplainError, require_known, unknown_name
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.signatures import check_arguments
from sb3_explain.report.behavior_figure import behavior_figure
from sb3_explain.report.palette import ThemeName
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.environments import AnyEnv
from sb3_explain.workflows.behavior.behavior import Behavior
from sb3_explain.workflows.behavior.clustering import EMBEDDINGS, FEWEST, MOST, cluster
from sb3_explain.workflows.behavior.clusters import BehaviorCluster, name_traits, read_actions
from sb3_explain.workflows.behavior.output import (
    COLORS,
    arrange,
    make_table,
    save_map,
    write_results,
)
from sb3_explain.workflows.behavior.transitions import (
    Endings,
    count_transitions,
    is_of_failure,
    read_endings,
    share_exits,
)
from sb3_explain.workflows.inside.reading import read_activations
from sb3_explain.workflows.represented_states import represent_states, standardize
from sb3_explain.workflows.state_sheet import choose_apart
from sb3_explain.workflows.step_columns import compute_columns
from sb3_explain.workflows.whole_episodes import play_whole_episodes


@dataclasses.dataclass(frozen=True, repr=False)
class BehaviorMap(Behavior):
    """What an agent does as a map; :meth:`save` writes a page of it.

    :func:`behavior_map` makes one.

    >>> from sb3_explain import behavior_map
    >>> found = behavior_map(agent, states, n_clusters=2)
    >>> [cluster.name for cluster in found.clusters], found.transitions.shape
    (['A', 'B'], (2, 2))

    :param agent: the agent
    :param states: n states that it played
    :param layer: name of the layer that says how alike states are; empty for the last layer's
        inputs
    :param embedding: ``"pca"`` or ``"tsne"``
    :param clustering: where states are in the picture, and how well their clusters are apart
    :param labels: (n,) number of the cluster of each state
    :param clusters: the k clusters
    :param transitions: (k, k) how often a cluster (row) was followed by another, or by itself, at
        the next step
    :param endings: how episodes ended
    :param columns: (n,) numbers by name, as far as they are known: ``"value"`` and
        ``"return_to_come"``
    """

    @property
    def failures(self) -> tuple[str, ...]:
        """Names of the clusters in which episodes fail more often than all do."""
        return tuple(one.name for one in self.clusters if one.is_failure)

    def __str__(self) -> str:
        """Write what was found, and a line for each cluster."""
        return "\n".join([*write_results(self), "", self.table().to_string(index=False)])

    __repr__ = __str__

    def table(self) -> Any:
        """Return a table with a row for each cluster.

        :return: pandas.DataFrame
        """
        return make_table(self)

    @check_arguments
    def plot(self, *, color: str | None = None, theme: ThemeName = "light") -> bytes:
        """Draw the states by cluster, with arrows for the ways between, and by a number beside it.

        :param color: ``"value"``, or ``"return"`` for the return to come; the first that is known
            when not given
        :param theme: ``"light"`` or ``"dark"``
        :return: PNG
        :raises ExplainError: if it is not known
        """
        return behavior_figure(arrange(self, color), theme=theme)

    @check_arguments
    def save(self, folder: str | Path) -> Path:
        """Write ``behavior.html``, ``.png``, ``.csv`` and ``.json`` into a folder.

        :param folder: the folder, which is made if it is not there
        :return: path of the page
        """
        return save_map(self, Path(folder))


@check_arguments
def behavior_map(
    agent: Agent | BaseAlgorithm,
    states: StateDataset | None = None,
    *,
    env: AnyEnv | None = None,
    layer: str | None = None,
    n_clusters: int | None = None,
    embedding: str = "pca",
    failed_below: float | None = None,
    n_examples: int = 6,
    n_states: int = 5000,
    seed: int = 0,
    progress: bool = True,
) -> BehaviorMap:
    """Draw a map of what an agent does.

    States are alike if the agent's own layer says the same of them. They are clustered by k-means
    on up to 50 principal components of this layer, standardised; ways between clusters are steps
    within episodes, and clusters of failure those in which episodes end badly.

    >>> from sb3_explain import behavior_map
    >>> found = behavior_map(agent, states)
    >>> print(found)
    200 states of 10 episodes in ... clusters ...

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param states: states that it played, of whole episodes; it plays some when not given
    :param env: where it plays, as :func:`sb3_explain.collect` takes it; its own environment when
        not given
    :param layer: one of ``agent.layers``; the inputs of the last layer when not given
    :param n_clusters: number of clusters, 2 to 26; that of 4 to 10 with the highest mean silhouette
        when not given
    :param embedding: how many dimensions are drawn in two: ``"pca"`` or ``"tsne"``. It changes the
        picture alone
    :param failed_below: the return below which an episode has failed; the middle between those of
        the best and of the worst episode when not given
    :param n_examples: number of typical states of each cluster, at most
    :param n_states: number of states that are played where none are given
    :param seed: random seed of the episodes, and of the starts of k-means
    :param progress: show a progress bar on standard error while the agent plays
    :return: the map
    :raises ExplainError: if scikit-learn is missing, for an unknown layer or embedding, or fewer
        different states than clusters
    """
    known = read_agent(agent)
    if embedding not in EMBEDDINGS:
        raise unknown_name("embedding", embedding, EMBEDDINGS)
    if layer is not None:
        require_known("layer", [layer], known.layers)
    if n_clusters is not None:
        require_whole("n_clusters", n_clusters, FEWEST, MOST)
    require_whole("n_examples", n_examples)
    if states is None:
        require_whole("n_states", n_states)
        states = play_whole_episodes(known, None, n_states, env=env, seed=seed, progress=progress)
    states.require_labels_of(known)
    if not len(states):
        raise ExplainError("there are no states to draw: play some (collect)")
    if layer is None:
        rows = represent_states(known, states)
    else:
        positions = np.arange(len(states))
        rows = standardize(read_activations(known, states, positions, layer).flatten(1))
    found = cluster(rows, n_clusters, embedding, seed=seed)
    labels = order_by_time(found.labels, states.steps)
    columns = read_columns(known, states)
    endings = read_endings(states, failed_below)
    counts = count_transitions(labels, states.episode, states.steps, int(labels.max()) + 1)
    clusters = describe_clusters(
        known, states, labels, found.distance, counts, endings, columns, n_examples
    )
    return BehaviorMap(
        known, states, layer or "", embedding, found, labels, clusters, counts, endings, columns
    )


def order_by_time(labels: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number clusters anew, that of the earliest mean step first.

    :param labels: (n,) cluster of each state
    :param steps: (n,) its step
    """
    means = np.bincount(labels, weights=steps) / np.bincount(labels)
    numbers: NDArray[np.int64] = np.argsort(np.argsort(means, kind="stable"))[labels]
    return numbers


def read_columns(agent: Agent, states: StateDataset) -> dict[str, NDArray[Any]]:
    """Read the value and the return to come, as far as they are known."""
    columns: dict[str, NDArray[Any]] = {}
    with contextlib.suppress(ExplainError):  # states of arrays may lack the columns
        columns = compute_columns(agent, states)
    same = np.diff(states.episode) == 0
    if (np.diff(states.steps)[same] != 1).any():  # what comes after a state is left out
        columns.pop("return_to_come", None)
    return {name: columns[name] for name in COLORS.values() if name in columns}


def describe_clusters(
    agent: Agent,
    states: StateDataset,
    labels: NDArray[np.int64],
    distance: NDArray[np.float64],
    counts: NDArray[np.int64],
    endings: Endings,
    columns: Mapping[str, NDArray[Any]],
    n_examples: int,
) -> tuple[BehaviorCluster, ...]:
    """Measure what the agent does in each cluster.

    :param agent: the agent
    :param states: n states
    :param labels: (n,) cluster of each
    :param distance: (n,) its distance to the center of its cluster
    :param counts: (k, k) transitions
    :param endings: how episodes ended
    :param columns: (n,) numbers by name
    :param n_examples: number of typical states of each, at most
    """
    k = len(counts)
    names = [chr(ord("A") + i) for i in range(k)]
    acted, actions = read_actions(agent, states)
    traits = name_traits(agent, states, labels, k)
    exits = share_exits(counts)
    ended, failed = endings.count(labels, k)
    steps, episode = states.steps, states.episode
    clusters = []
    for i, name in enumerate(names):
        own = np.flatnonzero(labels == i)
        ranked = own[np.argsort(distance[own], kind="stable")]
        left = counts[i].sum()
        means = {column: mean_of(each[own]) for column, each in columns.items()}
        often = np.argsort(-exits[i], kind="stable")
        clusters.append(
            BehaviorCluster(
                name,
                len(own),
                len(own) / len(labels),
                means.get("value"),
                means.get("return_to_come"),
                dict(zip(actions, acted[own].mean(dim=0).tolist(), strict=True)),
                traits[i],
                float(counts[i, i] / left) if left else None,
                {names[j]: float(exits[i, j]) for j in often if exits[i, j] > 0},
                int(ended[i]),
                int(failed[i]),
                is_of_failure(
                    int(failed[i]), int(ended[i]), int(failed.sum()), int(ended.sum())
                ),
                tuple(choose_apart(ranked, episode, steps, n_examples)),
            )
        )  # fmt: skip
    return tuple(clusters)


def mean_of(numbers: NDArray[Any]) -> float | None:
    """Mean of those that are known; ``None`` if none is."""
    known = numbers[np.isfinite(numbers)]
    return float(known.mean()) if len(known) else None
