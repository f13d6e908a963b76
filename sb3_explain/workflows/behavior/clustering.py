"""Clusters of states by what their agent makes of them, and a place for each state in a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.workflows.scikit_learn import find_sklearn

Array = NDArray[np.float64]

#: largest number of principal components that are clustered
COMPONENTS = 50
#: numbers of clusters that are tried: two, such as in the air and on the ground, tell little
TRIED = range(4, 11)
#: smallest and largest number that may be given: clusters are called A to Z
FEWEST, MOST = 2, 26
#: number of states by which numbers of clusters are compared, and of starts of k-means
JUDGED, STARTS = 2000, 4
#: ways to draw many dimensions in two
EMBEDDINGS = ("pca", "tsne")


@dataclasses.dataclass(frozen=True)
class Clustering:
    """States in clusters.

    :param points: (n, 2) place of each state in a picture
    :param labels: (n,) number of the cluster of each state
    :param distance: (n,) distance of each state to the center of its cluster
    :param silhouettes: mean silhouette by the number of clusters, of those that were tried
    :param explained: share of the variance that the two first principal components hold
    """

    points: Array
    labels: NDArray[np.int64]
    distance: Array
    silhouettes: Mapping[int, float]
    explained: float


def cluster(
    rows: Array, n_clusters: int | None, embedding: str = "pca", *, seed: int = 0
) -> Clustering:
    """Cluster states by k-means on their principal components.

    Unless it is given, the number of clusters is that of 4 to 10 with the highest mean silhouette.

    :param rows: (n, D) states, standardised
    :param n_clusters: number of clusters
    :param embedding: one of :data:`EMBEDDINGS`; clusters do not depend on it
    :param seed: random seed of the starts
    :raises ExplainError: for fewer different states than clusters
    """
    decomposition, n = find_sklearn("decomposition", "behavior_map"), len(rows)
    needed = n_clusters or FEWEST
    if n <= needed:
        raise ExplainError(
            f"{n} state(s) cannot be divided into {needed} clusters: give more states"
        )
    pca = decomposition.PCA(min(COMPONENTS, *rows.shape), random_state=seed)
    with np.errstate(invalid="ignore"):  # shares of the variance where nothing varies
        components = pca.fit_transform(rows)
    different = len(np.unique(components.round(6), axis=0))
    if different < needed:
        raise ExplainError(
            f"this layer tells {different} state(s) of {n} apart, which are fewer than {needed} "
            "clusters: name another layer, or give fewer clusters"
        )
    most = min(different, n - 1)
    tried = [n_clusters] if n_clusters else [k for k in TRIED if k <= most] or [most]
    fitted = {k: fit_clusters(components, k, seed) for k in tried}
    silhouettes = {k: judge(components, each.labels_, seed) for k, each in fitted.items()}
    best = max(tried, key=lambda k: silhouettes[k])
    labels = fitted[best].labels_.astype(np.int64)
    distance = np.linalg.norm(components - fitted[best].cluster_centers_[labels], axis=1)
    points = components[:, :2] if embedding == "pca" else embed(components, seed)
    if points.shape[1] == 1:
        points = np.c_[points, np.zeros(n)]
    explained = float(pca.explained_variance_ratio_[:2].sum())
    return Clustering(points, labels, distance, silhouettes, explained)


def fit_clusters(components: Array, k: int, seed: int) -> Any:
    """Fit k-means with k clusters."""
    library = find_sklearn("cluster", "behavior_map")
    return library.KMeans(k, n_init=STARTS, random_state=seed).fit(components)


def judge(components: Array, labels: NDArray[Any], seed: int) -> float:
    """Return the mean silhouette of clusters, by some of the states; -1 if they are of one."""
    chosen = np.random.default_rng(seed).permutation(len(labels))[:JUDGED]
    if not 2 <= len(np.unique(labels[chosen])) < len(chosen):
        return -1.0
    metrics = find_sklearn("metrics", "behavior_map")
    return float(metrics.silhouette_score(components[chosen], labels[chosen]))


def embed(components: Array, seed: int) -> Array:
    """Embed states in two dimensions by t-SNE, (n, 2): near ones stay near."""
    library = find_sklearn("manifold", "behavior_map")
    perplexity = min(30.0, (len(components) - 1) / 3)
    model = library.TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    points: Array = model.fit_transform(components).astype(np.float64)
    return points
