"""Linear probes: whether a layer knows a quantity, beside a control of shuffled labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sb3_explain.agents.agent import Agent
from sb3_explain.common.attributions import join_features
from sb3_explain.common.bootstrap import MIN_EPISODES, Interval, make_clusters
from sb3_explain.common.errors import ExplainError, require_known, unknown_name
from sb3_explain.common.notebook import write_facts, write_table
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.ridge import explain_variance, make_folds, predict_held_out, standardize
from sb3_explain.common.signatures import check_arguments
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
        return pd.DataFrame(
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
    agent: Agent,
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
    :param labels: what is looked for: (n,) numbers for the n states, several by their names, or
        names of quantities that are known: ``"value"``, ``"return to come"``, ``"reward"``,
        ``"entropy"``, ``"step"`` and the features of the observation; all known ones when not given
    :param layers: names of ``agent.layers``; all innermost ones when not given
    :param n_states: number of states to probe, spread over all; 1500, or 500 of pictures, when not
        given
    :param seed: random seed of the folds, the shuffled labels and the intervals
    :param progress: show a progress bar on standard error
    :return: R2 of each concept in the observation and in each layer
    :raises ExplainError: for an unknown layer or concept, a concept that never changes, or too few
        states
    """
    names = (
        choose_layers(agent) if layers is None else [layers] if isinstance(layers, str) else layers
    )
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
    concepts = read_labels(agent, states, labels, positions)
    known = np.stack(list(concepts.values()), axis=1)
    shuffled = known[np.random.default_rng(seed).permutation(len(known))]
    both = np.concatenate([known, shuffled], axis=1)
    folds = make_folds(clusters, FOLDS, seed)
    found: dict[str, list[ProbedLayer]] = {name: [] for name in concepts}
    with progress_bar("probing", 1 + len(names), "layers", progress) as bar:
        for layer in [OBSERVATION, *names]:
            if layer == OBSERVATION:
                rows = join_features(states.batch(agent, positions).by_key).numpy(force=True)
            else:
                rows = read_activations(agent, states, positions, layer).flatten(1).numpy()
            predicted = predict_held_out(standardize(rows), both, folds)
            for i, name in enumerate(concepts):
                r2, control = (
                    explain_variance(both[:, j], predicted[:, j], clusters, seed=seed)
                    for j in (i, i + len(concepts))
                )
                found[name].append(ProbedLayer(name, layer, rows.shape[1], r2, control))
            bar.update(1)
    return LinearProbes(tuple(row for rows in found.values() for row in rows))
