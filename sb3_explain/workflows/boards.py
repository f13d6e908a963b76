"""Boards: features that have rows and columns, drawn as such."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_boards
from sb3_explain.report import Picture, board_figure


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
