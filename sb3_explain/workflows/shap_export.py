"""Attributions of vectors as an Explanation of the package shap, for its plots."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.common.attributions import join_features
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.additive import AdditiveExplainer
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.named import name_explainer
from sb3_explain.report.summary import describe_unchanging
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.coverage import is_constant
from sb3_explain.states.dataset import StateDataset

logger = logging.getLogger(__name__)

#: share of the most that is explained in any state by which a sum may miss it without a warning
LARGE_ERROR = 0.01


@check_arguments
def to_shap(
    agent: Agent | BaseAlgorithm,
    observations: Any,
    explainer: str | Explainer = "kernel_shap",
    target: Any = 0,
    *,
    states: StateDataset | None = None,
    policy_inputs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Return the attributions of a vector agent as a ``shap.Explanation``.

    ``shap.plots.beeswarm`` draws it, and ``shap.plots.waterfall`` one state of it. As shap defines
    them, base values and attributions add up to the target's score: the base values, which shap
    calls E[f(X)], are the target's score on the baseline. That holds for ``kernel_shap`` and, but
    for the error of its sum, for ``integrated_gradients``; a warning says how large this is where
    the largest of any state is more than 1 % of the most that is explained in any: of a state
    that explains little it may be more than 1 %. The attributions of other methods do not add up to
    anything: for these there are no base values, which a warning says, and no waterfall.

    >>> from sb3_explain import ExplainError, to_shap
    >>> try:
    ...     explanation = to_shap(agent, test, "kernel_shap", 1, states=train)
    ... except ExplainError as error:
    ...     assert "pip install" in str(error)  # it needs shap

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param observations: what ``model.predict`` takes, or a data set of states
    :param explainer: an explainer, or the name of one
    :param target: target of all states, see :meth:`Explainer.attribute`; the first one by default,
        since a beeswarm of several targets means nothing
    :param states: states of the agent, for explainers that learn and for baselines
    :param policy_inputs: ``lstm_states`` and ``action_masks``; those of a data set are used
    :param options: arguments of the explainer's class, if it is given by name
    :return: a ``shap.Explanation`` of (B, M) values; its ``output_names`` is the target's name
    :raises ExplainError: if shap is not installed, or the agent observes pictures
    """
    known = read_agent(agent)
    if known.layout.pictures:
        key = next(iter(known.layout.pictures))
        raise ExplainError(
            f"to_shap is for vectors, and {key or 'the observation'!r} is a picture: "
            "plot(agent, observations) draws it"
        )
    try:
        shap = importlib.import_module("shap")
    except ImportError as error:
        raise ExplainError("to_shap needs shap: pip install 'sb3_explain[shap]'") from error
    made = name_explainer(known, explainer, states, target=target, **options)
    if isinstance(observations, StateDataset):
        positions = np.arange(len(observations))
        policy_inputs = policy_inputs or observations.policy_inputs(positions)
        observations = observations.observations(positions)
    batch = made.read_batch(observations, target, policy_inputs)
    by_key = made.attribute_batch(batch)
    values = join_features(by_key).double()
    data = show_values(known, {key: batch.by_key[key] for key in by_key})
    sizes = {key: part[0].numel() for key, part in by_key.items()}
    names = name_features(known, sizes)
    constant = is_constant(data.amin(dim=0), data.amax(dim=0)).tolist() if len(data) > 1 else ()
    for said in describe_unchanging([names[i] for i, never in enumerate(constant) if never]):
        logger.warning("%s", said)
    base_values = None
    if isinstance(made, AdditiveExplainer):
        base_values = read_base_values(made, batch, values).cpu().numpy()
    else:
        logger.warning(
            "attributions of %s do not add up to the score, so there are no base values, and no "
            "waterfall: those of %s do", made.name, list_additive(),
        )  # fmt: skip
    explained = set(batch.name_targets())
    return shap.Explanation(
        values=values.cpu().numpy(),
        base_values=base_values,
        output_names=explained.pop() if len(explained) == 1 else "each state's own target",
        data=data.numpy(),
        feature_names=names,
    )


@torch.no_grad()
def read_base_values(explainer: AdditiveExplainer, batch: StateBatch, values: Tensor) -> Tensor:
    """Read the target's score on the baseline, (B,), and warn where the attributions miss the rest.

    :param explainer: an additive explainer
    :param batch: the states
    :param values: (B, M) its attributions
    """
    chosen = batch.target[:, None]
    scores, base = (
        each.double().gather(1, chosen)[:, 0]
        for each in (batch.own_target_scores, explainer.base_scores(batch))
    )
    missed = (scores - base - values.sum(dim=1)).abs().max()
    explained = (scores - base).abs().max()
    if missed > LARGE_ERROR * explained:
        logger.warning(
            "attributions of %s miss the score by up to %.2g of the %.2g that they explain: raise "
            "n_steps", explainer.name, missed, explained,
        )  # fmt: skip
    return base


def list_additive() -> str:
    """List the explainers whose attributions add up to the score."""
    return " and ".join(
        name for name in EXPLAINERS if issubclass(EXPLAINERS[name], AdditiveExplainer)
    )
