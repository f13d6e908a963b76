"""Play an agent's stored steps back: their numbers, their maps, and what it does without regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.common.attributions import join_features, normalize
from sb3_explain.common.progress import progress_bar
from sb3_explain.envs.feature_names import list_feature_names
from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.report.overlay import to_rgb
from sb3_explain.report.viewer.playback import (
    Bookmark,
    Episode,
    Explained,
    Maps,
    Playback,
    Removal,
)
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.baselines import make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import count_rows, make_grid_masks, read_blends
from sb3_explain.workflows.importances import DISCOUNT
from sb3_explain.workflows.pictures import compute_shares, find_taken_targets, take_newest_frame

Array = NDArray[Any]
#: number of regions along each side of an image that are removed
REGIONS = 7
#: number of states that are explained at once
CHUNK = 64


def make_playback(
    states: StateDataset,
    explainers: Mapping[str, Explainer],
    *,
    agent: Agent,
    metrics: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    every_target: bool = True,
    name: str = "",
    progress: bool = True,
) -> Playback:
    """Explain consecutive states of whole episodes, for a page that plays them.

    :param states: consecutive states, episode after episode
    :param explainers: explainers that are ready to explain by name
    :param agent: the agent of the states
    :param metrics: how far each explainer can be trusted, as texts
    :param every_target: whether every target is explained in every state, not the action taken only
    :param name: name of the agent, as it is shown
    :param progress: show a progress bar
    """
    image = find_image(agent)
    scores = torch.from_numpy(states.column("scores"))
    positions = np.arange(len(states))
    taken = find_taken_targets(agent, states.actions, scores).numpy()
    episodes = list_episodes(states)
    shares = compute_shares(agent, scores).numpy()
    columns = compute_columns(agent, states, episodes, shares)
    observed, features, feature_names = None, None, []
    if image is None:
        by_key = states.batch(agent, positions).by_key
        features = join_features({key: one for key, one in by_key.items()}).cpu().numpy()
        sizes = {key: one[0].numel() for key, one in by_key.items()}
        feature_names = list_feature_names(sizes, agent.feature_names)
    else:
        observed = read_observed(states, agent, image)
    n = len(explainers) * len(states)
    with progress_bar("explaining every step", n, "states", progress) as bar:
        explained = [
            explain_steps(
                states, explainer, taken, image,
                every_target=every_target, metrics=(metrics or {}).get(name, ()),
                advance=bar.update,
            )
            for name, explainer in explainers.items()
        ]  # fmt: skip
    return Playback(
        name=name,
        episodes=episodes,
        shares=shares,
        taken=taken,
        target_names=agent.target_names,
        columns=columns,
        rendered=states.rendered(positions),
        observed=observed,
        n_stack=agent.n_stack,
        features=features,
        feature_names=feature_names,
        explained=explained,
        removal=remove_regions(states, agent, image),
        bookmarks=list_bookmarks(episodes, columns),
    )


def list_episodes(states: StateDataset) -> list[Episode]:
    """List the episodes of consecutive states, with their returns."""
    number = states.episode
    starts = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])
    stops = np.r_[starts[1:], len(number)]
    rewards = states.column("rewards").astype(np.float64)
    return [
        Episode(int(number[start]), int(start), int(stop), float(rewards[start:stop].sum()))
        for start, stop in zip(starts, stops, strict=True)
    ]


def compute_columns(
    agent: Agent, states: StateDataset, episodes: Sequence[Episode], shares: Array
) -> dict[str, Array]:
    """Compute what a viewer draws over time; what the agent does not have is left out.

    The advantage is that of the step that was taken, ``r + 0.99 V(s') - V(s)``, and the return to
    come is discounted by 0.99, since an agent does not say with which discount it learned.
    """
    rewards = states.column("rewards").astype(np.float64)
    values = states.column("values").astype(np.float64)
    come, advantage = np.zeros(len(values)), np.full(len(values), np.nan)
    for episode in episodes:
        later = 0.0
        for i in reversed(range(episode.start, episode.stop)):
            come[i] = later = rewards[i] + DISCOUNT * later
        here = slice(episode.start, episode.stop - 1)
        after = slice(episode.start + 1, episode.stop)
        advantage[here] = rewards[here] + DISCOUNT * values[after] - values[here]
    columns = {
        "value": values,
        "return_to_come": come,
        "reward": rewards,
        "advantage": advantage,
    }
    if not isinstance(agent.action_space, spaces.Box):
        columns["entropy"] = -(shares * np.log(shares.clip(1e-12))).sum(axis=1)
    return {name: column for name, column in columns.items() if np.isfinite(column).any()}


def read_observed(states: StateDataset, agent: Agent, image: str) -> NDArray[np.uint8]:
    """Read the newest frame of every state as the agent sees it, (T, H, W) or (T, H, W, 3)."""
    frames = agent.layout.arrange_key(image, states.frames_by_key(slice(None))[image]).numpy()
    low, high = (0, 255) if frames.dtype == np.uint8 else (frames.min(), frames.max())
    pictures = to_rgb(frames, low, high)
    gray = (pictures == pictures[..., :1]).all()
    return pictures[..., 0] if gray else pictures


def explain_steps(
    states: StateDataset,
    explainer: Explainer,
    taken: NDArray[np.int64],
    image: str | None,
    *,
    every_target: bool,
    metrics: Sequence[Mapping[str, str]],
    advance: Any,
) -> Explained:
    """Explain every state of a playback."""
    agent = explainer.agent
    parts: list[Tensor] = []
    for some in np.array_split(np.arange(len(states)), range(CHUNK, len(states), CHUNK)):
        if every_target:
            attributed = explainer.attribute_all(states.batch(agent, some))
        else:
            batch = states.batch(agent, some, torch.from_numpy(taken[some]))
            attributed = {
                key: one[:, None] for key, one in explainer.attribute_batch(batch).items()
            }
        by_key = split_keys(attributed)
        shown = select_shown(by_key, agent, image)
        if not explainer.gives_masks:  # one range for all targets, so that their maps compare
            shown = normalize(shown)
        parts.append(shown.half().cpu())
        advance(len(some))
    values = torch.cat(parts).numpy()
    return Explained(
        label=get_explainer_label(explainer.name),
        maps=[
            Maps(values[:, number], number if every_target else None)
            for number in range(values.shape[1])
        ],
        signed=not explainer.gives_masks and bool((values < 0).any()),
        learned=isinstance(explainer, FittedExplainer),
        metrics=metrics,
    )


def select_shown(by_key: Mapping[str, Tensor], agent: Agent, image: str | None) -> Tensor:
    """Return the attributions that are shown: (B, C, H, W), (B, C, F, H, W) or (B, C, D)."""
    if image is None:
        rows = [one.reshape(*one.shape[:2], -1) for one in by_key.values()]
        return torch.cat(rows, dim=2)
    attributions = by_key[image]
    frames = attributions.unflatten(2, (agent.n_stack, -1))
    if agent.n_stack == 1 or all(torch.equal(frames[:, :, 0], one) for one in frames.unbind(2)):
        return take_newest_frame(attributions, agent)
    strongest = frames.abs().argmax(dim=3, keepdim=True)
    return frames.gather(3, strongest).squeeze(3)


@torch.no_grad()
def remove_regions(states: StateDataset, agent: Agent, image: str | None) -> Removal:
    """Remove every region, or feature, from every state, and pass what is left to the agent."""
    baselines = make_baselines(agent, "background", states)
    found: list[Tensor] = []
    for some in np.array_split(np.arange(len(states)), range(CHUNK, len(states), CHUNK)):
        batch = states.batch(agent, some)
        found.append(
            _without_patches(batch, agent, image, baselines)
            if image is not None
            else _without_features(batch, agent, baselines)
        )
    side = 0 if image is None else REGIONS
    return Removal(torch.cat(found).numpy(), side, side)


def _without_patches(
    batch: StateBatch, agent: Agent, image: str, baselines: Mapping[str, Any]
) -> Tensor:
    observed = batch.by_key[image]
    rows, columns = (_cover(size, observed) for size in observed.shape[2:])
    chunk = count_rows(observed)
    blends = read_blends(
        lambda copies, states: batch.scores({image: copies}, states),
        observed.float(),
        (baselines[image](observed) - observed).float(),
        make_grid_masks(rows, columns, chunk),
        chunk,
    )
    scores = torch.cat([part for _, part in blends], dim=1)[:, 1:].cpu()
    return compute_shares(agent, scores.flatten(0, 1)).unflatten(0, scores.shape[:2])


def _cover(size: int, like: Tensor) -> Tensor:
    """Whether each region covers each pixel of an axis: (n, size) of 1 and 0."""
    bounds = torch.arange(REGIONS + 1) * size // REGIONS
    pixels = torch.arange(size)
    inside = (bounds[:-1, None] <= pixels) & (pixels < bounds[1:, None])
    return inside.to(like.device, torch.float32)


def _without_features(batch: StateBatch, agent: Agent, baselines: Mapping[str, Any]) -> Tensor:
    found = []
    for key, observed in batch.by_key.items():
        start = observed.float()
        change = baselines[key](observed).float() - start if key in baselines else start * 0
        weights = torch.eye(start[0].numel()).reshape(-1, *start.shape[1:])
        blends = read_blends(
            lambda copies, states, key=key: batch.scores({key: copies}, states),
            start,
            change,
            weights.split(count_rows(observed)),
            count_rows(observed),
        )
        found.append(torch.cat([part for _, part in blends], dim=1).cpu())
    scores = torch.cat(found, dim=1)
    return compute_shares(agent, scores.flatten(0, 1)).unflatten(0, scores.shape[:2])


def list_bookmarks(episodes: Sequence[Episode], columns: Mapping[str, Array]) -> list[Bookmark]:
    """List the steps that are worth a look first."""
    marks = []
    if "advantage" in columns:
        advantage = columns["advantage"]
        marks += [
            Bookmark(int(np.nanargmax(advantage)), "highest advantage"),
            Bookmark(int(np.nanargmin(advantage)), "lowest advantage"),
        ]
    if "value" in columns:
        marks += [
            Bookmark(int(np.nanargmax(columns["value"])), "highest value"),
            Bookmark(int(np.nanargmin(columns["value"])), "lowest value"),
        ]
    if len(episodes) > 1:
        worst = min(episodes, key=lambda one: one.total)
        marks.append(Bookmark(worst.stop - 1, f"end of the worst episode ({worst.number})"))
    return marks
