"""What maps of an agent that computes in bfloat16 lose: the rank correlation with float32."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.evaluation.measuring import Row
from sb3_explain.evaluation.parameter_randomization import correlate_ranks
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.dataset import StateDataset

#: states that are explained once more, in float32
COMPARED = 16


def describe_precision(
    explainers: Mapping[str, Explainer],
    rows: Mapping[str, Row],
    states: StateDataset,
    sample: NDArray[Any],
    target: int | ScalarTarget | None,
) -> dict[str, Any]:
    """Compare the maps of an agent in bfloat16 with those of the same agent in float32.

    The same targets of the same states are explained, by the same explainers.

    :param explainers: explainers of one agent by the names of their rows
    :param rows: what was measured of them; those that failed are left out
    :param states: states of the agent
    :param sample: positions of the states that are measured; the first 16 are compared
    :param target: what is explained
    :return: under ``"rank_correlation_float32"`` the mean of Spearman's rank correlation over all
        features by name, ``None`` where maps are the same everywhere; nothing in float32
    """
    found: dict[str, float | None] = {}
    positions = sample[:COMPARED]
    for name, explainer in explainers.items():
        if explainer.agent.precision == "float32" or not explainer.ranks_features:
            continue
        if rows[name].failed:
            continue
        exact_explainer = copy.copy(explainer)
        exact_explainer.agent = explainer.agent.with_precision("float32")
        batch = states.batch(explainer.agent, positions, target).resolve_target()
        exact = states.batch(exact_explainer.agent, positions, target)
        exact.target = batch.target
        pairs = zip(
            batch.flatten_keys(explainer.attribute_batch(batch)).cpu(),
            exact.flatten_keys(exact_explainer.attribute_batch(exact)).cpu(),
            strict=True,
        )
        alike = [correlate_ranks(*pair) for pair in pairs]
        known = [each for each in alike if np.isfinite(each)]
        found[name] = float(np.mean(known)) if known else None
    return {"rank_correlation_float32": found} if found else {}
