"""Boards: features that have rows and columns, drawn as such; and words for what is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.observations import find_boards
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.explainers.base import Explainer
from sb3_explain.report import Picture, board_figure


def picture_boards(
    explainer: Explainer,
    attributions: Mapping[str, Tensor],
    *,
    target: TargetLike = None,
    title: str = "",
) -> dict[str, Picture]:
    """Draw the mean magnitude of each square's attribution to each target.

    :param explainer: the explainer
    :param attributions: (B, C, ...) attributions of every target by key, in the form of a batch
    :param target: the one target that they are of; all that the explainer has when not given
    :param title: title above each figure
    :return: pictures by key of the board
    """
    pictures = {}
    agent = explainer.agent
    which, every = (name_targets(explainer, word, target) for word in ("which", "every"))
    names = list_explained(explainer, target)
    for key, axes in find_boards(agent).items():
        squares = axes.to_picture(agent.layout.restore_key(key, attributions[key]))
        importance = squares.abs().sum(dim=2).mean(dim=0).cpu().numpy()
        named = f"{key}: " if key else ""
        pictures[key] = Picture.draw(
            partial(board_figure, importance, names, title=title),
            caption=f"{named}Which squares matter to {which}, over {len(squares)} test states "
            "(mean magnitude, summed over what stands in a square).",
            alt=f"importance of every square of {key or 'the board'} to {every}",
        )
    return pictures


def list_explained(explainer: Explainer, target: TargetLike = None) -> Sequence[str]:
    """List the names of what is explained: the one target that was asked for, or all.

    :param explainer: the explainer
    :param target: what was asked for; all targets that the explainer has when not given
    """
    if target is None:
        return explainer.target_names
    found = find_target(explainer.agent, target)
    if isinstance(found, ScalarTarget):
        return [found.name]
    return [explainer.agent.target_names[found]]


def name_targets(explainer: Explainer, word: str, target: TargetLike = None) -> str:
    """Name what is explained: actions, dimensions of a Box action, or one target.

    :param explainer: the explainer
    :param word: ``"which"`` or ``"every"``, of several
    :param target: the one target that was asked for; all when not given
    """
    if target is not None or explainer.own_target is not None:
        return list_explained(explainer, target)[0]
    box = isinstance(explainer.agent.action_space, spaces.Box)
    return f"{word} dimension of the action" if box else f"{word} action"
