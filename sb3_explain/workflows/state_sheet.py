"""Some states of an agent on a contact sheet, with what it does in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.report.contact_sheet import Tile, contact_sheet
from sb3_explain.report.palette import ThemeName
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import (
    compute_shares,
    get_pictures,
    name_greedy_actions,
    name_measure,
)
from sb3_explain.workflows.probe_pictures import standardize_features
from sb3_explain.workflows.whole_episodes import name_state

#: states of one episode that are shown are at least so many steps apart
APART = 10


def choose_apart(
    ranked: NDArray[Any], episode: NDArray[Any], steps: NDArray[Any], k: int
) -> list[int]:
    """Choose the first k of ranked states, of which two of one episode are ten steps apart.

    :param ranked: (m,) places of states, the best first
    :param episode: (n,) number of the episode at each place
    :param steps: (n,) step at each place
    :param k: number of states, at most
    """
    chosen: list[int] = []
    for i in ranked.tolist():
        near = [one for one in chosen if episode[one] == episode[i]]
        if all(abs(steps[one] - steps[i]) >= APART for one in near):
            chosen.append(i)
        if len(chosen) == k:
            break
    return chosen


def draw_states(
    agent: Agent,
    states: StateDataset,
    positions: NDArray[np.int64],
    remarks: Sequence[str] = (),
    *,
    title: str = "",
    places: NDArray[Any] | None = None,
    theme: ThemeName = "light",
) -> bytes:
    """Draw states as pictures, or as bars of their features, with what the agent does in each.

    :param agent: the agent
    :param states: its states
    :param positions: (k,) positions of those that are drawn
    :param remarks: (k,) what is said of each, above its name
    :param title: title of the sheet
    :param places: (k, h, w) strengths that are laid over observed pictures
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    """
    batch = states.batch(agent, positions)
    image = find_image(agent)
    drawn = image is not None or states.rendered(positions[:1]) is not None
    pictures = get_pictures(states, positions, agent, image or "") if drawn else None
    names: Sequence[str] = ()
    rows = own = None
    if not drawn:
        rows = standardize_features(agent, batch.observations.flatten(1), states).numpy(force=True)
        own = show_values(agent, batch.by_key).numpy()
        names = name_features(agent, {key: one[0].numel() for key, one in batch.by_key.items()})
    laid = None
    if places is not None and image is not None:
        laid = places.clip(0) / max(float(places.max()), 1e-30)
    scores = batch.own_scores.cpu()
    shares = compute_shares(agent, scores).numpy()
    said = [name_state(states, int(position)) for position in positions]
    if remarks:
        said = [f"{remark}\n{name}" for remark, name in zip(remarks, said, strict=True)]
    tiles = [
        Tile(
            probabilities=shares[i],
            action=action,
            remark=said[i],
            picture=None if pictures is None else pictures[i],
            attribution=None if laid is None else laid[i],
            features=None if rows is None else rows[i],
            values=None if own is None else own[i],
        )
        for i, action in enumerate(name_greedy_actions(agent, scores))
    ]
    return contact_sheet(
        tiles, agent.target_names, measure=name_measure(agent), features=names, theme=theme,
        title=title,
    )  # fmt: skip
