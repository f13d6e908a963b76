"""Linear probes: whether a layer knows a quantity, beside a control of shuffled labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.common.attributions import join_features
from sb3_explain.common.bootstrap import MIN_EPISODES, Interval, make_clusters
from sb3_explain.common.errors import ExplainError, require_known, unknown_name
from sb3_explain.common.notebook import write_facts, write_table
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.ridge import explain_variance, make_folds, predict_held_out, standardize
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.untrusted import quote
from sb3_explain.common.whole_table import WholeTable
from sb3_explain.report.linear_probe_figure import linear_probe_figure
from sb3_explain.report.palette import ThemeName
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.inside.concepts import Labels, read_labels
from sb3_explain.workflows.inside.reading import choose_layers, read_activations

#: number of states that are probed, of features and of pictures
N_STATES, N_PICTURES = 1500, 500
#: number of folds, and the fewest states of a probe
FOLDS, FEWEST = 5, 50
#: the row of a table that is no layer: what the policy is shown
OBSERVATION = "observation"


@dataclasses.dataclass(frozen=True)
class ProbedLayer:
    """How much of a concept a linear function of a layer says.

    :param concept: name of the concept
    :param layer: name of the layer, or ``"observation"``
    :param n_units: number of the layer's units, or of the observation's features
    :param r2: R2 on episodes that the probe has not seen, with its 95 % interval
    :param control: the same of a probe of the shuffled concept: what chance finds
    """

    concept: str
    layer: str
    n_units: int
    r2: Interval
    control: Interval


@dataclasses.dataclass(frozen=True, repr=False)
class LinearProbes:
    """Probes of concepts in layers; ``print`` shows a table, a notebook the figure with it.

    >>> from sb3_explain import linear_probe
    >>> probes = linear_probe(agent, states, "value", ["mlp_extractor.value_net.3"])
    >>> probes.best("value").layer
    'mlp_extractor.value_net.3'

    :param rows: the probes, concept after concept, each in the order of the pass
    """

    rows: tuple[ProbedLayer, ...]

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of the concepts."""
        return tuple(dict.fromkeys(row.concept for row in self.rows))

    def best(self, concept: str) -> ProbedLayer:
        """Return the layer, or the observation, with the highest R2 of a concept.

        :param concept: its name
        :raises ExplainError: for an unknown one; the nearest is suggested
        """
        if concept not in self.concepts:
            raise unknown_name("concept", concept, self.concepts)
        return max(
            (row for row in self.rows if row.concept == concept), key=lambda row: row.r2.mean
        )

    def table(self) -> pd.DataFrame:
        """Return a row for each concept and layer: R2, its interval, and that of the control."""
        return WholeTable(
            {
                "concept": row.concept,
                "layer": row.layer,
                "units": row.n_units,
                "R2": row.r2.mean,
                "low": row.r2.low,
                "high": row.r2.high,
                "control": row.control.mean,
                "states": row.r2.n,
            }
            for row in self.rows
        )

    def _list_rows(self) -> list[tuple[str, ...]]:
        return [
            (
                row.concept,
                row.layer,
                str(row.n_units),
                f"{row.r2.mean:.2f} [{row.r2.low:.2f}, {row.r2.high:.2f}]",
                f"{row.control.mean:.2f}",
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        """Write the table as text."""
        heads = ("concept", "layer", "units", "held-out R2", "control")
        rows = [heads, *self._list_rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        lines = [
            "  ".join(f"{one:<{w}}" for one, w in zip(row, widths, strict=True)) for row in rows
        ]
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        heads = ("concept", "layer", "units", "held-out R2", "control")
        figure = write_facts("Linear probes", {}, png=self.plot())
        return figure + write_table(heads, self._list_rows())

    def plot(self, *, theme: ThemeName = "light") -> bytes:
        """Draw R2 by layer, with its interval and the control, a panel for each concept.

        :param theme: ``"light"`` or ``"dark"``
        :return: PNG
        """
        panels = {
            concept: {
                row.layer: (row.r2, row.control.mean) for row in self.rows if row.concept == concept
            }
            for concept in self.concepts
        }
        return linear_probe_figure(panels, theme=theme)


@check_arguments
def linear_probe(
    agent: Agent | BaseAlgorithm,
    states: StateDataset,
    labels: Labels = None,
    layers: str | Sequence[str] | None = None,
    *,
    n_states: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> LinearProbes:
    """Ask which layers know a quantity: how well a linear function of their units predicts it.

    A ridge regression is fitted on some episodes and asked about others (five folds of whole
    episodes; blocks of 100 states where there are fewer than ten). Its R2 is 1 if it says the
    quantity exactly, and 0 or less if it says no more than the mean. Beside it stand the R2 of the
    same with shuffled labels, which is what chance finds in so many units, and that of the
    observation itself, which is what needs no network.

    >>> from sb3_explain import linear_probe
    >>> layer = "mlp_extractor.policy_net.1"
    >>> probes = linear_probe(agent, states, {"tilt": states.observations(range(200))[:, 2]}, layer)
    >>> probes.best("tilt").r2.mean > 0.9
    True

    :param agent: the agent
    :param states: states that it played
    :param labels: what is looked for: (n,) numbers for the n states, NaN where they are not known;
        several by their names; or names of known quantities: ``"value"``, ``"return to come"``,
        ``"reward"``, ``"entropy"``, ``"step"`` and the features of the observation; all of these
        when not given
    :param layers: names of ``agent.layers``; all innermost ones when not given
    :param n_states: number of states to probe, spread over all; 1500, or 500 of pictures, when not
        given
    :param seed: random seed of the folds, the shuffled labels and the intervals
    :param progress: show a progress bar on standard error
    :return: R2 of each concept in the observation and in each layer
    :raises ExplainError: for an unknown layer or concept, a concept that never changes, or too few
        states
    """
    agent = read_agent(agent)
    given = [layers] if isinstance(layers, str) else layers
    names = choose_layers(agent) if given is None else given
    require_known("layer", names, agent.layers)
    n = n_states or (N_PICTURES if agent.layout.pictures else N_STATES)
    positions = states.spread(require_whole("n_states", n))
    clusters = make_clusters(states.episode, states.steps)[positions]
    if len(positions) < FEWEST or len(np.unique(clusters)) < FOLDS:
        raise ExplainError(
            f"a probe needs {FEWEST} states or more of {FOLDS} stretches of 100 steps, or of "
            f"{MIN_EPISODES} episodes, and there are {len(positions)} of "
            f"{len(np.unique(states.episode))} episode(s): collect more"
        )
    folds = make_folds(clusters, FOLDS, seed)
    concepts = read_labels(agent, states, labels, positions)
    lacking = [name for name, each in concepts.items() if not _is_enough(each, folds)]
    if lacking and labels is not None:
        n_known = int(np.isfinite(concepts[lacking[0]]).sum())
        raise ExplainError(
            f"{quote(lacking[0])} is known in {n_known} states, which are too few or of too few "
            "episodes for a probe: collect more"
        )
    # regressions of the same states share their matrices
    groups: dict[bytes, dict[str, NDArray[np.float64]]] = {}
    for name in (name for name in concepts if name not in lacking):
        groups.setdefault(np.isfinite(concepts[name]).tobytes(), {})[name] = concepts[name]
    found: dict[str, list[ProbedLayer]] = {name: [] for name in concepts}
    with progress_bar("probing", 1 + len(names), "layers", progress) as bar:
        for layer in [OBSERVATION, *names]:
            if layer == OBSERVATION:
                rows = join_features(states.batch(agent, positions).by_key).numpy(force=True)
            else:
                rows = read_activations(agent, states, positions, layer).flatten(1).numpy()
            standardized = standardize(rows)
            for group in groups.values():
                r2s = _probe(standardized, np.stack(list(group.values()), 1), folds, clusters, seed)
                for name, (r2, control) in zip(group, r2s, strict=True):
                    found[name].append(ProbedLayer(name, layer, rows.shape[1], r2, control))
            bar.update(1)
    return LinearProbes(tuple(row for rows in found.values() for row in rows))


def _is_enough(labels: NDArray[np.float64], folds: NDArray[np.int64]) -> bool:
    """Whether a concept is known in enough states of every fold."""
    known = np.isfinite(labels)
    return int(known.sum()) >= FEWEST and len(np.unique(folds[known])) == FOLDS


def _probe(
    rows: NDArray[Any],
    labels: NDArray[Any],
    folds: NDArray[np.int64],
    clusters: NDArray[np.int64],
    seed: int,
) -> list[tuple[Interval, Interval]]:
    """R2 of M concepts (n, M) that are known in the same states, each with its control."""
    known = np.isfinite(labels[:, 0])
    labels, clusters = labels[known], clusters[known]
    shuffled = labels[np.random.default_rng(seed).permutation(len(labels))]
    both = np.concatenate([labels, shuffled], axis=1)
    predicted = predict_held_out(rows[known], both, folds[known])
    r2s = [
        explain_variance(both[:, i], predicted[:, i], clusters, seed=seed)
        for i in range(both.shape[1])
    ]
    return list(zip(r2s[: labels.shape[1]], r2s[labels.shape[1] :], strict=True))
