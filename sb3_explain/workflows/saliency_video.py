"""Videos of an agent's states with their attributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.observations import find_image
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.common.attributions import join_features, normalize
from sb3_explain.common.progress import progress_bar, track
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.forbidden import list_all_forbidden
from sb3_explain.report import Caption, write_video
from sb3_explain.report.bar_strip import BarStrip
from sb3_explain.report.overlay import enlarge
from sb3_explain.report.overlay_styles import OverlayStyle
from sb3_explain.report.video import GAME_HEIGHT, choose_factor
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import (
    batch_taken,
    compute_shares,
    find_taken_targets,
    get_pictures,
    name_asked,
    name_measure,
    take_newest_frame,
)

#: what is said under a frame whose action is not the likeliest
DRAWN = "drawn by chance"


def write_saliency_video(
    path: Path,
    states: StateDataset,
    explainer: Explainer,
    positions: NDArray[np.int64],
    *,
    attributions: Mapping[int, NDArray[Any]] | None = None,
    notes: Sequence[str] = (),
    bars: bool = False,
    features: Mapping[str, Tensor] | None = None,
    target: TargetLike = None,
    style: OverlayStyle = "heat",
    fps: float = 15,
    height: int = GAME_HEIGHT,
    progress: bool = True,
) -> Path | None:
    """Write a video of states one after the other, with the attributions of the action taken.

    For an agent that observes no images, it shows the rendered frames, with bars of the features
    beside them if so desired.

    :param path: path of the video, which ends in ``.mp4`` or ``.gif``
    :param states: states of the explainer's agent
    :param explainer: an explainer that is ready to explain
    :param positions: (T,) positions of the states to show
    :param attributions: (H, W) attributions of the action taken, by position, as
        :func:`attribute_taken` returns them; computed when not given
    :param notes: T texts under the frames
    :param bars: for an agent that observes no images, show the attributions of its features as bars
    :param features: (T, ...) attributions of these features by key; computed when not given
    :param target: what is explained in every state (see :mod:`sb3_explain.agents.targets`); the
        action taken when not given, or what the explainer was made for
    :param style: how maps are drawn, see :func:`sb3_explain.report.overlay_styles.draw_overlay`
    :param fps: frames per second
    :param height: height of the game in pixels
    :param progress: show progress bars
    :return: the path; ``None`` if there are neither images nor rendered frames to show
    """
    agent = explainer.agent
    target = explainer.own_target if target is None else target
    name = find_image(agent)
    rendered = states.rendered(positions[:1])
    if name is None and rendered is None:
        return None
    steps = states.steps[positions]
    scores = torch.from_numpy(states.column("scores")[positions])
    taken = find_taken_targets(agent, states.actions[positions], scores)
    shown, values = compute_shares(agent, scores).numpy(), states.column("values")[positions]
    forbidden = list_all_forbidden(agent.action_space, scores)
    batches = np.array_split(np.arange(len(positions)), range(64, len(positions), 64))
    if name is not None and attributions is None:
        attributions = attribute_taken(
            states, explainer, positions, target=target, progress=progress
        )
    question, marked = name_asked(agent, target)
    # all dimensions of a Box action are taken: none stands out beside the one that was asked for
    all_taken = bool(question) and isinstance(agent.action_space, spaces.Box)
    laid_over = [attributions[int(p)] if attributions else None for p in positions]
    others = [key for key in agent.layout.shapes if key != name]
    unshown = f"map of {name} alone" if name and others else ""
    # of an action that was drawn by chance, the frame would look like a mistake
    drawn = np.asarray(taken.cpu()) != shown.argmax(axis=1)
    drawn &= isinstance(agent.action_space, spaces.Discrete)
    add_bars = None
    if bars and name is None:
        add_bars = make_bars(states, explainer, positions, height, target, features)
    with progress_bar("video", len(positions), "frames", progress) as bar:
        write_video(
            path,
            (
                frame if add_bars is None else add_bars(int(row), frame)
                for rows in batches
                for row, frame in zip(
                    rows, get_pictures(states, positions[rows], agent, name or ""), strict=True
                )
            ),
            laid_over,
            (
                Caption(
                    action=None if all_taken else int(taken[row]),
                    probabilities=shown[row],
                    step=int(steps[row]),
                    value=float(values[row]) if np.isfinite(values[row]) else None,
                    note=notes[row] if notes else DRAWN if drawn[row] else unshown,
                    forbidden=forbidden[row],
                )
                for row in range(len(positions))
            ),
            action_names=agent.target_names,
            measure=name_measure(agent),
            target=question,
            marked=marked,
            style=style,
            fps=fps,
            height=height,
            side_by_side=name is not None,
            signed=any(one is not None and bool((one < 0).any()) for one in laid_over),
            title="" if name is None else title_map(explainer, question),
            game="what the agent observes" if rendered is None else "the game as rendered",
            progress=track(bar),
        )
    return path


def title_map(explainer: Explainer, asked: str) -> str:
    """Say whose attributions a video shows, and of what.

    :param explainer: the explainer
    :param asked: name of what is explained, where it is not the action taken
    """
    return f"{get_explainer_label(explainer.name)} of {asked or 'the action taken'}"


def make_bars(
    states: StateDataset,
    explainer: Explainer,
    positions: NDArray[np.int64],
    height: int,
    target: TargetLike = None,
    by_key: Mapping[str, Tensor] | None = None,
) -> Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what adds bars of the features to a rendered frame.

    :param states: states of an agent that observes no images
    :param explainer: an explainer that is ready to explain
    :param positions: (T,) positions of the states
    :param height: approximate height in pixels of a frame with its bars
    :param target: what is explained in every state instead of the action taken
    :param by_key: (T, ...) attributions by key; computed when not given
    :return: function of a frame's number and the frame
    """
    agent = explainer.agent
    batch = batch_taken(states, agent, positions, target)
    if by_key is None:
        by_key = explainer.attribute_batch(batch)
    flat = join_features(by_key).double().cpu().numpy()
    values = show_values(agent, batch.by_key).numpy()
    sizes = {key: part[0].numel() for key, part in by_key.items()}
    strip: BarStrip | None = None

    def add_bars(row: int, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        nonlocal strip
        # now, not with the bars, whose letters would shrink too
        large = enlarge(frame, choose_factor(frame.shape[0], height, frame.shape[1]))
        if strip is None:
            names = name_features(agent, sizes)
            asked = name_asked(agent, target)[0]
            strip = BarStrip(
                names, flat, large.shape[0], target=asked, title=title_map(explainer, asked)
            )
        return np.concatenate([large, strip.draw(values[row], flat[row])], axis=1)

    return add_bars


def attribute_taken(
    states: StateDataset,
    explainer: Explainer,
    positions: NDArray[np.int64],
    *,
    target: TargetLike = None,
    progress: bool = True,
) -> dict[int, NDArray[Any]]:
    """Attribute the actions taken, explaining each state once however often its position occurs.

    :param states: states of an agent that observes images
    :param explainer: an explainer that is ready to explain
    :param positions: (T,) positions of the states, in any order
    :param target: what is explained in every state instead of the action taken
    :param progress: show a progress bar
    :return: (H, W) attributions by position, as :func:`scale_attributions` returns them
    """
    agent, name = explainer.agent, find_image(explainer.agent)
    assert name is not None
    attributions: dict[int, NDArray[Any]] = {}
    distinct = np.unique(positions)
    with progress_bar("explaining", len(distinct), "states", progress) as bar:
        for some in np.array_split(distinct, range(64, len(distinct), 64)):
            batch = batch_taken(states, agent, some, target)
            scaled = scale_attributions(explainer, batch, name)
            attributions |= dict(zip(some.tolist(), scaled, strict=True))
            bar.update(len(some))
    return attributions


def scale_attributions(explainer: Explainer, batch: StateBatch, name: str) -> NDArray[Any]:
    """Attribute the targets of a batch in the range in which a picture shows them.

    :param explainer: an explainer that is ready to explain
    :param batch: B states with their targets
    :param name: name of the image key that is shown
    :return: (B, H, W) masks as they are; other attributions in [-1, 1], each divided by its largest
        magnitude
    """
    return scale_newest(explainer, explainer.attribute_batch(batch)[name])


def scale_newest(explainer: Explainer, attributions: Tensor) -> NDArray[Any]:
    """Return the newest frame's attributions in the range in which a picture shows them.

    :param explainer: their explainer
    :param attributions: (B, F * C, H, W) attributions of an image
    :return: (B, H, W), as :func:`scale_attributions` returns them
    """
    newest = take_newest_frame(attributions, explainer.agent)
    return (newest if explainer.gives_masks else normalize(newest)).cpu().numpy()
