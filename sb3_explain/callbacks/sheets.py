"""Sheets: states of a training side by side, each with its maps and with what the agent does."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.callbacks.running_episodes import RETURN, STEP
from sb3_explain.common.attributions import join_features
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.forbidden import list_all_forbidden
from sb3_explain.explainers.showing import Look, list_observation_panels, list_panels
from sb3_explain.report.bar_strip import BarStrip
from sb3_explain.report.contact_sheet import Tile, contact_sheet
from sb3_explain.report.explanation_figure import explanation_figure
from sb3_explain.report.panels import Panel, share_scales
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import (
    compute_shares,
    get_pictures,
    name_asked,
    name_greedy_actions,
    name_measure,
)
from sb3_explain.workflows.saliency_video import scale_attributions

#: largest width of a sheet of panels in inches, and what each panel takes beside its own width
WIDTH, BESIDE = 13.0, 0.9
#: pixels per inch
DPI = 90
#: width of the bars of a state in pixels, height of one of them, and number of them at most
BARS, BAR, MOST_BARS = 640, 28, 16


def describe_states(
    states: StateDataset, positions: NDArray[np.int64], agent: Agent
) -> list[list[str]]:
    """Describe states of a training: the greedy action, its value, the step and the return so far.

    The value is in the environment's own rewards, as the return is. What is not known is left out:
    the value of an agent that has none, the counts of an episode that had begun before the
    training.

    :param states: states of a training
    :param positions: (n,) positions among them
    :param agent: the agent that labelled them
    :return: for each state ``["LEFT", "value 0.93", "step 12", "return 3"]``
    """
    actions = name_greedy_actions(agent, torch.from_numpy(states.column("scores")[positions]))
    columns = {
        "value": agent.value_units.unscale(states.column("values")[positions]),
        "step": states.column(STEP)[positions],
        "return": states.column(RETURN)[positions],
    }
    digits = {"value": 3, "step": 12, "return": 4}
    return [
        [
            action,
            *(
                f"{name} {float(column[row]):.{digits[name]}g}"
                for name, column in columns.items()
                if np.isfinite(column[row])
            ),
        ]
        for row, action in enumerate(actions)
    ]


def draw_pictures(
    states: StateDataset,
    positions: NDArray[np.int64],
    explainer: Explainer,
    key: str,
    target: TargetLike = None,
    *,
    title: str,
) -> bytes:
    """Draw the pictures that an agent observes, each beside its map, as a PNG.

    :param states: states of the explainer's agent
    :param positions: (n,) positions of the states that are shown
    :param explainer: an explainer that is ready to explain
    :param key: name of the image key
    :param target: what is explained; the greedy action when not given
    :param title: title of the sheet
    """
    agent = explainer.agent
    batch = states.batch(agent, positions, target)
    attributions = scale_attributions(explainer, batch, key)
    signed = not explainer.gives_masks and bool((attributions < 0).any())
    tiles = [
        Tile(
            share,
            said[0],
            ", ".join(said[1:]),
            picture,
            attribution,
            signed=signed,
            forbidden=forbidden,
        )
        for share, said, picture, attribution, forbidden in zip(
            compute_shares(agent, batch.own_scores.cpu()).numpy(),
            describe_states(states, positions, agent),
            get_pictures(states, positions, agent, key),
            attributions,
            list_all_forbidden(agent.action_space, batch.own_scores),
            strict=True,
        )
    ]
    return draw_tiles(tiles, agent, target, title)


def draw_tiles(tiles: Sequence[Tile], agent: Agent, target: TargetLike, title: str) -> bytes:
    """Draw states with the probabilities of all actions, of which the one asked for is marked.

    :param tiles: the states
    :param agent: the agent that is explained
    :param target: what is explained; the greedy action when not given
    :param title: title of the sheet
    """
    return contact_sheet(
        tiles,
        agent.target_names,
        title=title,
        measure=name_measure(agent),
        marked=name_asked(agent, target)[1],
    )


def draw_bars(
    states: StateDataset,
    positions: NDArray[np.int64],
    explainer: Explainer,
    target: TargetLike = None,
    *,
    title: str,
) -> bytes:
    """Draw the features that an agent observes, each with the bar of its attribution, as a PNG.

    All bars of a sheet have one scale.

    :param states: states of the explainer's agent, which observes neither pictures nor boards
    :param positions: (n,) positions of the states that are shown
    :param explainer: an explainer that is ready to explain
    :param target: what is explained; the greedy action when not given
    :param title: title of the sheet
    """
    agent = explainer.agent
    batch = states.batch(agent, positions, target)
    by_key = explainer.attribute_batch(batch)
    bars = join_features(by_key).cpu().numpy()
    values = show_values(agent, {key: batch.by_key[key] for key in by_key}).numpy()
    names = name_features(agent, {key: part[0].numel() for key, part in by_key.items()})
    height, asked = BAR * (1 + min(len(names), MOST_BARS)), name_asked(agent, target)[0]
    strip = BarStrip(names, bars, height, BARS, target=asked)
    tiles = [
        Tile(share, said[0], ", ".join(said[1:]), strip.draw(*row), forbidden=forbidden)
        for share, said, forbidden, *row in zip(
            compute_shares(agent, batch.own_scores.cpu()).numpy(),
            describe_states(states, positions, agent),
            list_all_forbidden(agent.action_space, batch.own_scores),
            values,
            bars,
            strict=True,
        )
    ]
    return draw_tiles(tiles, agent, target, title)


def draw_panels(
    states: StateDataset,
    positions: NDArray[np.int64],
    explainers: Mapping[str, Explainer],
    target: TargetLike = None,
    *,
    title: str,
) -> bytes:
    """Draw states of any kind, each with the maps of one explainer or more, as a PNG.

    :param states: states of the explainers' agent
    :param positions: (n,) positions of the states that are shown
    :param explainers: explainers that are ready to explain, by name
    :param target: what is explained; the greedy action when not given
    :param title: title of the sheet
    """
    agent = next(iter(explainers.values())).agent
    batch = states.batch(agent, positions, target).resolve_target()
    attributed = {name: explainer.attribute_batch(batch) for name, explainer in explainers.items()}
    shown = [
        share_scales(
            [
                list_panels(
                    batch,
                    attributed[name],
                    row,
                    Look(),
                    # of one method, the title says which
                    heading=get_explainer_label(name) if len(explainers) > 1 else "",
                    baselines=explainer.baselines,
                    left_out=explainer.left_out,
                )
                for row in range(len(batch))
            ]
        )
        for name, explainer in explainers.items()
    ]
    tiles: list[list[Panel]] = []
    for row, said in enumerate(describe_states(states, positions, agent)):
        panels: list[Panel] = list_observation_panels(batch, row, Look())
        panels += itertools.chain.from_iterable(each[row] for each in shown)
        # two short lines: bars are narrow beside their names
        lines = (", ".join(said[:-2]), ", ".join(said[-2:])) if len(said) > 2 else said
        first = "\n".join(filter(None, (*lines, panels[0].heading)))
        tiles.append([dataclasses.replace(panels[0], heading=first), *panels[1:]])
    columns = count_columns(len(tiles), sum(panel.size[0] + BESIDE for panel in tiles[0]))
    rows = [
        [panel for tile in tiles[i : i + columns] for panel in tile]
        for i in range(0, len(tiles), columns)
    ]
    note = "All states have one scale" + (" for each method." if len(explainers) > 1 else ".")
    return explanation_figure(rows, title=title, note=note).encode(DPI)


def count_columns(n: int, width: float) -> int:
    """Count the states beside each other: as many as fit, in rows of equal length.

    :param n: number of states
    :param width: width of a state in inches
    """
    return max(i for i in range(1, n + 1) if n % i == 0 and (i == 1 or i * width <= WIDTH))
