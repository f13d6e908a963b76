"""Pictures of an agent's states with their maps: what the report and the video show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import (
    default_target,
    greedy_targets,
    group_sizes,
    log_probabilities,
    score_range,
    target_scores,
)
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.common.attributions import normalize
from sb3_explain.common.progress import progress_bar, track
from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers.base import Explainer
from sb3_explain.report import (
    Caption,
    Importance,
    Picture,
    TargetAttributions,
    feature_importance,
    importance_figure,
    target_attributions_figure,
    write_video,
)
from sb3_explain.report.overlay import to_rgb
from sb3_explain.report.video import GAME_HEIGHT
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: states in the video, and states with the maps of every action
VIDEO_STATES = 300
EXAMPLES = 4
#: states whose attributions are summed up, and features that are shown, of agents without images
IMPORTANCE_STATES = 300
MOST_FEATURES = 24


def examples_of(
    states: StateDataset, explainer: Explainer
) -> dict[str, TargetAttributions | Picture]:
    """What the report shows of single states, by the name of its file.

    Of an agent that sees images some states with the map of every target; of any other agent the
    importance of every feature.
    """
    agent = explainer.agent
    name = find_image(agent)
    if name is None:
        return {"importance": picture_importance(states, explainer)}
    positions = telling_states(states, agent)
    return {
        f"state_{number}": make_target_attributions(states, explainer, name, position)
        for number, position in enumerate(positions)
    }


def png_of(example: TargetAttributions | Picture) -> bytes:
    """The content of an example's file."""
    return example.png if isinstance(example, Picture) else target_attributions_figure(example)


def picture_importance(states: StateDataset, explainer: Explainer, *, title: str = "") -> Picture:
    """The mean magnitude of each feature's attribution to each target, with its interval.

    :param title: above the figure
    """
    agent = explainer.agent
    sample = states.spread(IMPORTANCE_STATES)
    by_key = split_keys(explainer.attribute_all(states.batch(agent, sample)))
    flat = torch.cat([observed.flatten(2) for observed in by_key.values()], dim=2).cpu().numpy()
    names = feature_names({name: observed[0, 0].numel() for name, observed in by_key.items()})
    importance = feature_importance(flat, states.episode[sample])
    most = np.sort(np.argsort(-importance.mean.max(axis=0), kind="stable")[:MOST_FEATURES])
    shown = Importance(*(part[:, most] for part in dataclasses.astuple(importance)))
    known = np.isfinite(importance.low).any()
    bars = (
        "; bars are 95 % intervals over episodes"
        if known
        else ", of too few episodes for intervals"
    )
    left_out = f" The {MOST_FEATURES} most important ones." if len(most) < len(names) else ""
    return Picture(
        importance_figure(
            {explainer.name: shown}, [names[i] for i in most], agent.target_names, title=title
        ),
        caption=f"Which features matter to which action, over {len(sample)} test states{bars}."
        f"{left_out}",
        alt="importance of every feature to every action",
    )


def feature_names(sizes: Mapping[str, int]) -> list[str]:
    """``"feature 3"`` of an observation that is no dict, ``"speed 3"`` of its key ``speed``.

    :param sizes: number of features by key
    """
    return [f"{key or 'feature'} {i}" for key, size in sizes.items() for i in range(size)]


def shares(agent: Agent, scores: torch.Tensor) -> torch.Tensor:
    """(B, C) in [0, 1] of the agent's scores (B, K): what the bars of a picture show.

    Probabilities of the targets; where in its range each dimension of a Box action is.
    """
    space = agent.action_space
    if isinstance(space, spaces.Box):
        middle, extent = score_range(space, squashed=agent.squashed)
        return ((scores - middle.to(scores)) / extent.to(scores) + 0.5).clamp(0, 1)
    return log_probabilities(space, target_scores(space, scores)).exp()


def measure_of(agent: Agent) -> str:
    """What :func:`shares` are called."""
    if isinstance(agent.action_space, spaces.Box):
        return "position in its range"
    return "softmax of Q" if agent.view.value_based else "probability"


def telling_states(states: StateDataset, agent: Agent, n: int = EXAMPLES) -> list[int]:
    """Positions of states with a clear decision: for each frequent target its clearest one.

    :param states: to choose from
    :param agent: who decides
    :param n: number of states at most
    """
    scores = torch.from_numpy(states.column("scores"))
    space = agent.action_space
    main = default_target(space, target_scores(space, scores), squashed=agent.squashed)
    share = shares(agent, scores)
    if isinstance(space, spaces.Box):
        sureness = (share - 0.5).abs().gather(1, main[:, None])[:, 0]
    else:
        groups = torch.split(share, group_sizes(space), dim=1)
        best = [group.topk(2, dim=1).values for group in groups]
        sureness = torch.stack([top[:, 0] - top[:, 1] for top in best], dim=1).amax(dim=1)
    frequent, counts = torch.unique(main, return_counts=True)
    chosen = []
    for target in frequent[counts.argsort(descending=True)][:n]:
        of_target = torch.where(main == target)[0]
        chosen.append(int(of_target[sureness[of_target].argmax()]))
    return sorted(chosen)


def make_target_attributions(
    states: StateDataset, explainer: Explainer, name: str, position: int
) -> TargetAttributions:
    """The frame of one state with the maps of all targets on it.

    :param name: of the image key that is shown
    """
    agent = explainer.agent
    batch = states.batch(agent, [position])
    attributions = split_keys(explainer.attribute_all(batch))[name]
    return TargetAttributions(
        frame=pictures_of(states, np.array([position]), name)[0],
        attributions=newest_frame(attributions, agent, name)[0].cpu().numpy(),
        action_names=agent.target_names,
        probabilities=shares(agent, batch.own_scores)[0].cpu().numpy(),
        chosen=int(batch.target[0]),
        caption=f"episode {states.episode[position]}, state {int(states.indices[position])}",
        signed=not explainer.gives_masks and bool((attributions < 0).any()),
    )


def pictures_of(states: StateDataset, positions: NDArray[np.int64], name: str = "") -> NDArray[Any]:
    """(B, h, w, 3) frames as rendered, or what the agent sees of them where none were kept.

    :param name: of the image key
    """
    rendered = states.rendered(positions)
    if rendered is not None:
        return rendered
    frames = states.frames_by_key(positions)[name].numpy()
    low, high = (0, 255) if frames.dtype == np.uint8 else (frames.min(), frames.max())
    return to_rgb(frames, low, high)


def newest_frame(attributions: torch.Tensor, agent: Agent, name: str = "") -> torch.Tensor:
    """(..., F * C, H, W) -> (..., H, W): the map of the frame that a person sees in the picture.

    Of several colours the strongest attribution.
    """
    n_channels = attributions.shape[-3] // agent.n_stack
    newest = attributions[..., -n_channels:, :, :]
    strongest = newest.abs().argmax(dim=-3, keepdim=True)
    return newest.gather(-3, strongest).squeeze(-3)


def write_saliency_video(
    path: Path,
    states: StateDataset,
    explainer: Explainer,
    *,
    n: int = VIDEO_STATES,
    positions: NDArray[np.int64] | None = None,
    attributions: Mapping[int, NDArray[Any]] | None = None,
    notes: Sequence[str] = (),
    fps: float = 15,
    height: int = GAME_HEIGHT,
    progress: bool = True,
) -> Path | None:
    """A video of states one after the other, with the map of the action taken.

    An agent without images has no map to lay over: the frames are shown alone.

    :param n: frames at most, of the beginning of the first episode of ``states``
    :param positions: (T,) of the states to show, in place of those
    :param attributions: (H, W) of the action taken by position, as :func:`attribute_taken` gives
        them; made here when not given
    :param notes: T words under the frames
    :param fps: frames a second
    :param height: in pixels, of the game
    :return: the path; ``None`` if there is nothing to show, neither images nor rendered frames
    """
    agent = explainer.agent
    name = find_image(agent)
    if positions is None:
        positions = np.flatnonzero(states.episode == states.episode[0])[:n]
    rendered = states.rendered(positions[:1])
    if name is None and rendered is None:
        return None
    steps = states.steps[positions]
    scores = torch.from_numpy(states.column("scores")[positions])
    taken = find_taken_targets(agent, states.actions[positions], scores)
    shown, values = shares(agent, scores).numpy(), states.column("values")[positions]
    batches = np.array_split(np.arange(len(positions)), range(64, len(positions), 64))
    if name is not None and attributions is None:
        attributions = attribute_taken(states, explainer, positions, progress=progress)
    laid_over = [attributions[int(p)] if attributions else None for p in positions]
    with progress_bar("video", len(positions), "frames", progress) as bar:
        write_video(
            path,
            (
                frame
                for rows in batches
                for frame in pictures_of(states, positions[rows], name or "")
            ),
            laid_over,
            (
                Caption(
                    action=int(taken[row]),
                    probabilities=shown[row],
                    step=int(steps[row]),
                    value=float(values[row]) if np.isfinite(values[row]) else None,
                    note=notes[row] if notes else "",
                )
                for row in range(len(positions))
            ),
            action_names=agent.target_names,
            measure=measure_of(agent),
            fps=fps,
            height=height,
            side_by_side=name is not None,
            signed=any(one is not None and bool((one < 0).any()) for one in laid_over),
            title="map of the action" if name is not None else "",
            game="what the agent sees" if rendered is None else "the game as rendered",
            progress=track(bar),
        )
    return path


def attribute_taken(
    states: StateDataset,
    explainer: Explainer,
    positions: NDArray[np.int64],
    *,
    progress: bool = True,
) -> dict[int, NDArray[Any]]:
    """Attributions of the actions taken, each state explained once however often it is named.

    :param states: of an agent that observes images
    :param explainer: ready to explain
    :param positions: (T,) positions of the states, in any order
    :param progress: show a bar
    :return: (H, W) by position, as :func:`scale_attributions` gives them
    """
    agent, name = explainer.agent, find_image(explainer.agent)
    assert name is not None
    found: dict[int, NDArray[Any]] = {}
    distinct = np.unique(positions)
    with progress_bar("explaining", len(distinct), "states", progress) as bar:
        for some in np.array_split(distinct, range(64, len(distinct), 64)):
            scores = torch.from_numpy(states.column("scores")[some])
            taken = find_taken_targets(agent, states.actions[some], scores)
            maps = scale_attributions(explainer, states.batch(agent, some, taken), name)
            found |= dict(zip(some.tolist(), maps, strict=True))
            bar.update(len(some))
    return found


def scale_attributions(explainer: Explainer, batch: StateBatch, name: str) -> NDArray[Any]:
    """(B, H, W) maps of the targets of some states as they can be laid over pictures.

    :param name: of the image key that is shown
    :return: masks as they are; other maps in [-1, 1], each divided by its largest magnitude
    """
    attributions = newest_frame(explainer.attribute_batch(batch)[name], explainer.agent, name)
    return (attributions if explainer.gives_masks else normalize(attributions)).cpu().numpy()


def find_taken_targets(agent: Agent, actions: NDArray[Any], scores: torch.Tensor) -> torch.Tensor:
    """(B,) the target to show for actions taken: of several sub-actions the surest one's.

    :param actions: (B, ...) as the environment took them
    :param scores: (B, K) of the states
    """
    space = agent.action_space
    if isinstance(space, spaces.Discrete):
        return torch.as_tensor(actions.astype(np.int64)) - agent.first_action
    if isinstance(space, spaces.Box):
        return default_target(space, scores, squashed=agent.squashed)
    sizes = torch.tensor(group_sizes(space))
    sub_actions = torch.as_tensor(actions.reshape(len(actions), -1).astype(np.int64))
    taken = sub_actions + sizes.cumsum(0) - sizes
    group = torch.arange(len(sizes)).repeat_interleave(sizes)
    surest = group[default_target(space, target_scores(space, scores))]
    return taken.gather(1, surest[:, None])[:, 0]


def greedy_names(agent: Agent, scores: Tensor) -> list[str]:
    """What the agent does in each state, by the names of its targets."""
    if isinstance(agent.action_space, spaces.Box):
        return [", ".join(f"{value:.2f}" for value in row) for row in scores.tolist()]
    best = greedy_targets(agent.action_space, target_scores(agent.action_space, scores))
    return [
        ", ".join(name for name, taken in zip(agent.target_names, row, strict=True) if taken)
        for row in best.tolist()
    ]
