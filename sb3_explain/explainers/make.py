"""Make explainers by their names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.observations import find_feature_keys, find_image
from sb3_explain.agents.targets.find import TargetLike, find_target, is_scalar
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments, require_arguments, require_class
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.learned.fitted import load_or_fit
from sb3_explain.explainers.requirements import find_removal
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.fit_parts import split_for_fit

logger = logging.getLogger(__name__)

#: options of the quick default, by its name; those of the class take five times as long
QUICK: dict[str, dict[str, Any]] = {"integrated_gradients": {"n_steps": 10}}


@check_arguments
def make_explainer(
    name: str,
    agent: Agent | BaseAlgorithm,
    states: StateDataset | None = None,
    folder: str | Path | None = None,
    *,
    fit_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Explainer:
    """Make an explainer of an agent that is ready to explain.

    An explainer that learns is fitted on ``train`` and ``validation`` of
    ``states.split(seed=seed)`` and saved in ``folder``; evaluate it on the third part. A fit that
    was killed goes on in the same folder. If ``folder`` holds one that was fitted on the same
    states with the same options, it is loaded instead. Without ``states``, the explainer in
    ``folder`` is loaded as it is.

    >>> from sb3_explain import make_explainer
    >>> explainer = make_explainer("kernel_shap", agent, states, baseline="mean")
    >>> explainer.attribute(states.observations([0, 1])).shape
    torch.Size([2, 4])

    :param name: name of the explainer, see :func:`list_explainers`
    :param agent: agent to explain
    :param states: states of the agent, on which an explainer that learns is fitted, or a baseline
    :param folder: folder that an explainer that learns is saved in and loaded from
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`, for
        explainers that learn
    :param options: arguments of the explainer's class
    :raises ExplainError: for a name or an option that does not exist, an agent that the method does
        not support, or if an explainer that learns is given neither states nor folder, or a folder
        that holds one of other options or states
    """
    agent = read_agent(agent)
    if states is not None:
        require_class("states", states, StateDataset)
        states.require_labels_of(agent)
    kind = EXPLAINERS[name]
    if not issubclass(kind, FittedExplainer):
        if fit_kwargs:
            raise ExplainError(f"{name} does not learn: leave out fit_kwargs")
        require_arguments(kind, kind, options)
        return make_unfitted(name, agent, states, **options)
    if states is None:
        if folder is None:
            raise ExplainError(f"{name} learns: give states=, or the folder that it was saved in")
        if options or fit_kwargs:
            given = ", ".join([*options, *(["fit_kwargs"] if fit_kwargs else [])])
            raise ExplainError(f"{given}: without states, {name} is loaded as it lies in {folder}")
        return kind.load(folder, agent)
    made = make_unfitted(name, agent, **options)
    assert isinstance(made, FittedExplainer)
    train, validation = split_for_fit(states, int(options.get("seed", 0)))
    fit_kwargs = {"seed": options.get("seed", 0), **(fit_kwargs or {})}
    return load_or_fit(made, folder, train, validation, fit_kwargs)


def make_unfitted(
    name: str, agent: Agent, states: StateDataset | None = None, **options: Any
) -> Explainer:
    """Make an explainer; one that learns is not fitted.

    :param name: name of the explainer, see :func:`list_explainers`
    :param agent: agent to explain
    :param states: states that a baseline is fitted on, for explainers that have one
    :param options: arguments of the explainer's class
    """
    kind = EXPLAINERS[name]
    if states is not None and kind.takes_baseline:
        options = {"states": states, **options}
    return kind(agent, **options)


@check_arguments
def list_explainers(agent: Agent | None = None) -> list[str]:
    """List the names of all explainers, or of those that support an agent.

    >>> from sb3_explain import list_explainers
    >>> "kernel_shap" in list_explainers(agent), "grad_cam" in list_explainers(agent)
    (True, False)

    :param agent: only explainers that support this agent are listed; all when not given
    """
    return [n for n, kind in EXPLAINERS.items() if agent is None or not kind.unsupported(agent)]


def default_explainer(agent: Agent, target: TargetLike = None, *, quick: bool = False) -> str:
    """Return the name of an explainer that supports the agent, for whoever names none.

    All pass the test of parameter randomization. For an agent that observes images alone it is
    ``"sarfa"``, or ``"integrated_gradients"`` if it has to be quick, with the options of
    :data:`QUICK` and with states, whose background is its baseline. For one that observes images
    and features it is ``"integrated_gradients"`` too, which explains both. For any other agent, and
    where the two do not support it, it is ``"feature_ablation"``, or ``"occlusion"`` of images
    alone. So it is for a target that is no action, which SARFA does not explain; a line says so.

    :param agent: agent to explain
    :param target: what is explained; an action when not given
    :param quick: whether many states are explained, or an agent while it learns
    """
    of_both = quick or find_feature_keys(agent)
    preferred = "integrated_gradients" if of_both else "sarfa"
    kind = EXPLAINERS[preferred]
    if find_image(agent) is None or kind.unsupported(agent) is not None:
        return find_removal(agent)
    if kind.actions_only and is_scalar(agent, target):
        asked, found = find_target(agent, target), find_removal(agent)
        assert isinstance(asked, ScalarTarget)
        logger.warning(
            "%s explains actions, not %s: %s explains it instead (explainer= names another)",
            preferred, asked.name, found,
        )  # fmt: skip
        return found
    return preferred


def make_quick_explainer(agent: Agent, states: StateDataset | None = None) -> Explainer:
    """Make the quick default, see :func:`default_explainer`.

    :param agent: agent to explain
    :param states: states that a baseline is fitted on
    """
    name = default_explainer(agent, quick=True)
    return make_unfitted(name, agent, states, **QUICK.get(name, {}))
