"""One call from an agent, or a model, and an observation to a picture."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.forbidden import describe_forbidden
from sb3_explain.explainers.make import default_explainer
from sb3_explain.explainers.named import Explainers, name_explainer, name_explainers
from sb3_explain.explainers.showing import (
    Look,
    describe_choice,
    describe_explained,
    list_observation_panels,
    list_panels,
)
from sb3_explain.report.explanation_figure import ExplanationFigure, explanation_figure
from sb3_explain.report.overlay_styles import OverlayStyle
from sb3_explain.report.palette import ThemeName
from sb3_explain.report.panels import Panel, PicturePanel, share_scales
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.dataset import StateDataset

#: what one cannot see in a figure of several methods: of one observation, and of several
SCALES = (
    "Each panel has a scale of its own: colors and lengths do not compare between rows.",
    "The observations of a row have one scale: colors and lengths compare along a row, not between "
    "rows.",
)


@check_arguments
def plot(
    agent: Agent | BaseAlgorithm,
    observations: Any,
    explainer: str | Explainer | None = None,
    target: TargetLike = None,
    *,
    states: StateDataset | None = None,
    style: OverlayStyle = "heat",
    frames: str | int = "newest",
    rendered: Any = None,
    policy_inputs: Mapping[str, Any] | None = None,
    theme: ThemeName = "light",
    **options: Any,
) -> ExplanationFigure:
    """Draw what an agent attends to in an observation.

    >>> observation, _ = gymnasium.make("CartPole-v1").reset(seed=0)
    >>> from sb3_explain import plot
    >>> plot(model, observation, "input_x_gradient", target=1).savefig("cartpole.png")

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param observations: what ``model.predict`` takes: one observation or at most 16
    :param explainer: an explainer, or the name of one, see :func:`list_explainers`
    :param target: what is explained: an action by its index or name, ``"value"``, a contrast such
        as ``"LEFT - RIGHT"``, a function (see :mod:`sb3_explain.agents.targets`); the greedy action
        when not given
    :param states: states of the agent, for explainers that learn and for baselines
    :param style: how a map is drawn on a picture: ``"heat"``, ``"contour"`` or ``"spotlight"``
    :param frames: which frames of a stack are shown: ``"newest"``, ``"all"``, or the number of one
    :param rendered: (h, w, 3) uint8 frame as ``env.render()`` returns it, to draw the map on
    :param policy_inputs: ``lstm_states`` and ``action_masks``, see :meth:`Explainer.attribute`
    :param theme: ``"light"`` or ``"dark"``
    :param options: arguments of the explainer's class, if it is given by name
    :return: a matplotlib Figure, whose ``image()`` is a PIL image
    :raises ExplainError: if the observations do not fit the agent, or the explainer does not
        support it
    """
    known = read_agent(agent)
    chosen = default_explainer(known, target) if explainer is None else explainer
    made = name_explainer(known, chosen, states, target=target, **options)
    return made.show(
        observations,
        target,
        style=style,
        frames=frames,
        rendered=rendered,
        policy_inputs=policy_inputs,
        theme=theme,
    )


@check_arguments
def compare(
    agent: Agent | BaseAlgorithm | Mapping[str, Agent | BaseAlgorithm],
    observations: Any,
    explainers: Explainers,
    target: TargetLike = None,
    *,
    states: StateDataset | None = None,
    style: OverlayStyle = "heat",
    frames: str | int = "newest",
    rendered: Any = None,
    policy_inputs: Mapping[str, Any] | None = None,
    theme: ThemeName = "light",
) -> ExplanationFigure:
    """Draw what methods, or agents, say of the same observations, a row for each.

    >>> from sb3_explain import compare
    >>> figure = compare(image_agent, image_states.observations([0]), ["gradient", "occlusion"])
    >>> figure.savefig("methods.png")

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib; or a dict of them by the
        names that are shown, which may be checkpoints of one training
    :param observations: what ``model.predict`` takes: one observation or a few
    :param explainers: names of explainers, explainers, or a dict of them by the name that is shown;
        names alone where there are several agents
    :param target: what is explained: an action by its index or name, ``"value"``, a contrast such
        as ``"LEFT - RIGHT"``, a function (see :mod:`sb3_explain.agents.targets`); the greedy action
        when not given
    :param states: states of the agent, for explainers that learn and for baselines
    :param style: how a map is drawn on a picture, see :meth:`Explainer.show`
    :param frames: which frames of a stack are shown, see :meth:`Explainer.show`
    :param rendered: (h, w, 3) uint8 frame as ``env.render()`` returns it, to draw the maps on
    :param policy_inputs: ``lstm_states`` and ``action_masks``, see :meth:`Explainer.attribute`
    :param theme: ``"light"`` or ``"dark"``
    :return: a matplotlib Figure, whose ``image()`` is a PIL image
    :raises ExplainError: as :func:`plot` does, or without a method
    """
    agents = agent if isinstance(agent, Mapping) else {"": agent}
    look = Look(style, frames, rendered)
    rows: list[list[Panel | None]] = []
    seen: list[Panel] = []
    titles: list[str] = []
    notes: dict[str, None] = {}
    for who, known in ((str(name), read_agent(each)) for name, each in agents.items()):
        named = name_explainers(known, explainers, states, target=target)
        if not named:
            raise ExplainError("there is nothing to compare: name an explainer or more")
        own = next((one.own_target for one in named.values() if one.own_target), None)
        asked, cache = own if target is None else target, ForwardCache()
        batches = {  # each of the explainer's own agent, which may be another object
            name: one.read_batch(observations, asked, policy_inputs).resolve_target()
            for name, one in named.items()
        }
        batch = next(iter(batches.values()))
        look.check(batch)
        number, of_whom = range(len(batch)), f"{who}: " if who else ""
        explained = [describe_explained(batch, row) for row in number]
        differ = len(set(explained)) > 1
        for name, explainer in named.items():
            attributions = explainer.attribute_batch(batches[name].with_cache(cache))
            notes[explainer.remark] = None
            label = of_whom + get_explainer_label(name)
            of_method = share_scales(
                [
                    list_panels(
                        batch,
                        attributions,
                        row,
                        look,
                        heading=f"{label}\n{explained[row]}" if differ else label,
                        baselines=explainer.baselines,
                        left_out=explainer.left_out,
                    )
                    for row in number
                ]
            )
            rows.append(list(itertools.chain.from_iterable(of_method)))
        seen = seen or [
            panel for row in number for panel in list_observation_panels(batch, row, look)
        ]
        titles += [] if differ else [of_whom + explained[0]]
        notes |= {describe_choice(batch): None, describe_forbidden(batch): None}
    if not rows:
        raise ExplainError("there is nothing to compare: give an agent or more")
    if len(rows) > 1:
        notes[SCALES[len(batch) > 1]] = None
    if seen:  # the first row shows pictures without a map, in their own colors
        pictures = iter(seen)
        above = [next(pictures) if isinstance(one, PicturePanel) else None for one in rows[0]]
        rows.insert(0, above)
    note = " ".join(filter(None, notes))
    return explanation_figure(rows, title="\n".join(titles), note=note, theme=theme)
