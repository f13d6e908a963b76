"""Boards: features that have rows and columns, drawn as such."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.envs.picture_axes import PictureAxes, guess_axes
from sb3_explain.report import Picture, board_figure


def find_boards(agent: Agent) -> dict[str, PictureAxes]:
    """Find the keys of an observation that are boards: features of two to four axes.

    >>> from sb3_explain.workflows.boards import find_boards
    >>> find_boards(agent)
    {}

    :param agent: agent that observes them
    :return: rows and columns by key
    """
    layout = agent.layout
    guessed = {
        key: guess_axes(shape)
        for key, shape in layout.own_shapes.items()
        if key not in layout.pictures
    }
    return {key: axes for key, axes in guessed.items() if axes is not None}


def picture_boards(
    agent: Agent, attributions: Mapping[str, Tensor], *, title: str = ""
) -> dict[str, Picture]:
    """Draw the mean magnitude of each square's attribution to each target.

    :param agent: agent that was explained
    :param attributions: (B, C, ...) attributions of every target by key, in the form of a batch
    :param title: title above each figure
    :return: pictures by key of the board
    """
    pictures = {}
    for key, axes in find_boards(agent).items():
        squares = axes.to_picture(agent.layout.restore_key(key, attributions[key]))
        importance = squares.abs().sum(dim=2).mean(dim=0).cpu().numpy()
        named = f"{key}: " if key else ""
        pictures[key] = Picture(
            board_figure(importance, agent.target_names, title=title),
            caption=f"{named}Which squares matter to which action, over {len(squares)} test states "
            "(mean magnitude, summed over what stands in a square).",
            alt=f"importance of every square of {key or 'the board'} to every action",
        )
    return pictures
