"""The same states explained by several methods, for the report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_feature_keys, find_image
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.showing import describe_explained
from sb3_explain.report import Picture
from sb3_explain.report.method_attributions import MethodAttributions
from sb3_explain.report.palette import ThemeName
from sb3_explain.report.words import get_explainer_label, join_words
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import choose_clear_states, get_pictures
from sb3_explain.workflows.saliency_video import scale_attributions
from sb3_explain.workflows.showing import compare
from sb3_explain.workflows.whole_episodes import name_state

#: number of states of an agent of features that are shown: as many bars as a page is wide
BAR_STATES = 2
#: pixels per inch of a figure of bars, as of the other figures of a page
DPI = 150


def show_methods(
    agent: Agent,
    states: StateDataset,
    explainers: Mapping[str, Explainer],
    target: TargetLike = None,
) -> list[MethodAttributions | Picture]:
    """Explain some states in which the agent is sure by every method.

    :param agent: agent of the states
    :param states: states that no explainer has learned from
    :param explainers: explainers that are ready to explain, by the names that are shown
    :param target: what is explained; the greedy action when not given
    :return: of an agent that observes images alone, a state each; of any other one figure of all
        states; nothing of a single explainer
    """
    if len(explainers) < 2:
        return []
    name = find_image(agent)
    if name is None or find_feature_keys(agent):
        return [draw_rows(agent, states, explainers, target)]
    positions = np.array(choose_clear_states(states, agent))
    batch = states.batch(agent, positions, target, cache=ForwardCache()).resolve_target()
    found = {
        get_explainer_label(label): scale_attributions(explainer, batch, name)
        for label, explainer in explainers.items()
    }
    frames = get_pictures(states, positions, agent, name)
    return [
        MethodAttributions(
            frame=frames[row],
            attributions={label: attributed[row] for label, attributed in found.items()},
            signed=[label for label, attributed in found.items() if (attributed < 0).any()],
            caption=f"{name_state(states, position)}: {describe_explained(batch, row, '; ')}",
            positions={name_state(states, position): int(position)},
        )
        for row, position in enumerate(positions)
    ]


def describe_keys(agent: Agent, explainers: Mapping[str, Explainer]) -> list[str]:
    """Say which keys of an observation a player's maps do not show, and who leaves which out.

    :param agent: the agent that is explained
    :param explainers: explainers by the names that are shown
    :return: sentences, or none
    """
    keys, image, said = list(agent.layout.shapes), find_image(agent), []
    unknown = set(keys).intersection(*(one.left_out for one in explainers.values()))
    if image is not None and len(keys) > 1:
        others = [key for key in keys if key != image]
        said.append(f"The maps above are of {image} alone, not of {join_words(others)}.")
        bars = [key for key in find_feature_keys(agent) if key not in unknown]
        if bars:
            said.append(f"Figures below show how much {join_words(bars)} matter.")
    for name, explainer in explainers.items():
        label, left_out = get_explainer_label(name), sorted(explainer.left_out)
        if left_out:
            it = "it" if len(left_out) == 1 else "them"
            said.append(
                f"{label} does not explain {join_words(left_out)}, whether or not the agent uses "
                f"{it}."
            )
        said += [explainer.remark] * bool(explainer.remark)
    if unknown:
        said.append(f"Nothing on this page explains {join_words(sorted(unknown))}.")
    return said


def draw_rows(
    agent: Agent,
    states: StateDataset,
    explainers: Mapping[str, Explainer],
    target: TargetLike = None,
) -> Picture:
    """Draw a row of states for each method, as pictures, bars or boards.

    :param agent: agent of the states
    :param states: states that no explainer has learned from
    :param explainers: explainers that are ready to explain, by the names that are shown
    :param target: what is explained; the greedy action when not given
    """
    positions = choose_clear_states(states, agent, BAR_STATES)

    def draw(theme: ThemeName) -> bytes:
        figure = compare(
            agent,
            states.observations(positions),
            explainers,
            target,
            policy_inputs=states.policy_inputs(positions) or None,
            theme=theme,
        )
        return figure.encode(DPI)

    named = {name_state(states, position): int(position) for position in positions}
    labels = join_words([get_explainer_label(name) for name in explainers])
    return Picture.draw(
        draw,
        caption=f"From left to right: {join_words(list(named))}; a row for each method.",
        alt=f"the same states explained by {labels}",
        positions=named,
    )
