"""Pictures of an agent's states with their attributions, for the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
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
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.common.attributions import normalize
from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.forbidden import list_forbidden
from sb3_explain.explainers.showing import describe_explained
from sb3_explain.report import (
    Importance,
    Picture,
    TargetAttributions,
    feature_importance,
    importance_figure,
    target_attributions_figure,
)
from sb3_explain.report.overlay import to_rgb
from sb3_explain.report.summary import describe_unchanging, describe_unchanging_squares
from sb3_explain.report.target_attributions import NOTHING
from sb3_explain.report.words import get_explainer_label, join_words
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.coverage import count_unchanging_squares, find_unchanging, is_constant
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.boards import list_explained, name_targets, picture_boards
from sb3_explain.workflows.whole_episodes import name_state

#: number of states shown with the attributions of every action
EXAMPLES = 4
#: of agents without images: number of states in an average, and of features that are shown
IMPORTANCE_STATES = 300
MAX_FEATURES = 24


def make_examples(
    states: StateDataset, explainer: Explainer, target: TargetLike = None
) -> dict[str, TargetAttributions | Picture]:
    """Make the report's pictures of single states, by the name of their files.

    For an agent that observes images, they are some states with the attributions of every target;
    for any other agent, the importance of every feature.

    :param states: states that the explainer has not learned from
    :param explainer: an explainer that is ready to explain
    :param target: the one target that is explained; all of the explainer's when not given
    """
    agent = explainer.agent
    name = find_image(agent)
    if name is None:
        return {**picture_importance(states, explainer, target=target)}
    positions = choose_clear_states(states, agent)
    return {
        f"state_{number}": make_target_attributions(states, explainer, name, position, target)
        for number, position in enumerate(positions)
    }


def render_png(example: TargetAttributions | Picture) -> bytes:
    """Return the content of an example's PNG file."""
    return example.png if isinstance(example, Picture) else target_attributions_figure(example)


def picture_importance(
    states: StateDataset, explainer: Explainer, *, target: TargetLike = None, title: str = ""
) -> dict[str, Picture]:
    """Draw the mean magnitude of each feature's attribution to each target.

    :param states: states to explain
    :param explainer: an explainer that is ready to explain
    :param target: the one target that is explained; all of the explainer's when not given
    :param title: title above each figure
    :return: a figure of the squares of each board, then one of the bars of all other features with
        their intervals, by the name of their files
    """
    agent = explainer.agent
    sample = states.spread(IMPORTANCE_STATES)
    by_key = attribute_asked(explainer, states.batch(agent, sample, target), target)
    boards = picture_boards(explainer, by_key, target=target, title=title)
    for key, count in count_unchanging_squares(states, agent, sample).items():
        said = f"{boards[key].caption} {describe_unchanging_squares(key, *count)}"
        boards[key] = dataclasses.replace(boards[key], caption=said)
    pictures = {f"importance_{key}".rstrip("_"): board for key, board in boards.items()}
    rest = {key: observed for key, observed in by_key.items() if key not in boards}
    if rest:
        pictures["importance"] = picture_bars(states, sample, explainer, rest, target, title)
    return pictures


def attribute_asked(
    explainer: Explainer, batch: StateBatch, target: TargetLike
) -> dict[str, Tensor]:
    """Attribute the one target that was asked for, or all.

    :param explainer: an explainer that is ready to explain
    :param batch: B states, of that target
    :param target: what was asked for; all targets of the explainer when not given
    :return: (B, C, ...) attributions by key, with C = 1 of the one
    """
    if target is None:
        return split_keys(explainer.attribute_all(batch))
    return {key: each[:, None] for key, each in explainer.attribute_batch(batch).items()}


def picture_bars(
    states: StateDataset,
    sample: NDArray[np.int64],
    explainer: Explainer,
    by_key: Mapping[str, Tensor],
    target: TargetLike,
    title: str,
) -> Picture:
    """Draw the mean magnitudes of attributions as bars, with their intervals.

    :param states: states that were explained
    :param sample: (B,) their positions
    :param explainer: the explainer
    :param by_key: (B, C, ...) attributions of every target by key
    :param target: the one target that they are of; ``None`` for all of the explainer's
    :param title: title above the figure
    """
    agent, targets = explainer.agent, list_explained(explainer, target)
    flat = (
        torch.cat(
            [observed.reshape(*observed.shape[:2], -1) for observed in by_key.values()], dim=2
        )
        .cpu()
        .numpy()
    )
    names = name_features(
        agent, {name: observed[0, 0].numel() for name, observed in by_key.items()}
    )
    remarks = describe_values(states.batch(agent, sample), list(by_key), explainer.baselines)
    unchanging = describe_unchanging(find_unchanging(states, agent, sample))
    importance = feature_importance(flat, states.episode[sample])
    most = np.sort(np.argsort(-importance.mean.max(axis=0), kind="stable")[:MAX_FEATURES])
    shown = Importance(*(part[:, most] for part in dataclasses.astuple(importance)))
    known = np.isfinite(importance.low).any()
    bars = (
        "; bars are 95 % intervals over episodes"
        if known
        else ", of too few episodes for intervals"
    )
    left_out = f" The {MAX_FEATURES} most important ones." if len(most) < len(names) else ""
    replaced = " and what it is replaced by where it is hidden" if explainer.baselines else ""
    return Picture(
        importance_figure(
            {explainer.name: shown},
            [names[i] for i in most],
            targets,
            title=title,
            remarks=[remarks[i] for i in most],
        ),
        caption=f"Which features matter to {name_targets(explainer, 'which', target)}, over "
        f"{len(sample)} test states{bars}. Under a feature's name stand its mean and standard "
        f"deviation{replaced}."
        f"{left_out}{name_empty(importance, explainer.name, targets)}{' '.join(['', *unchanging])}",
        alt=f"importance of every feature to {name_targets(explainer, 'every', target)}",
    )


def describe_values(
    batch: StateBatch, keys: Sequence[str], baselines: Mapping[str, Baseline]
) -> list[str]:
    """Describe the values of each feature in some states, and what replaces them.

    :param batch: B states
    :param keys: keys of the observation whose features are described
    :param baselines: baselines by key; without one, the values alone are described
    :return: a text for each feature: ``"0.02 ± 0.1, replaced by 0"``, or ``"always 0.02"``
    """
    texts = []
    for key in keys:
        values = show_values(batch.agent, {key: batch.by_key[key]})
        constant = is_constant(values.amin(0), values.amax(0)) & (len(values) > 1)
        means, spreads = values.mean(0), values.std(0, correction=0)
        said = [
            f"always {mean:.3g}" if never else f"{mean:.3g} ± {spread:.2g}"
            for mean, spread, never in zip(means, spreads, constant, strict=True)
        ]
        if key in baselines:
            hidden = baselines[key](batch.by_key[key])
            replaced = show_values(batch.agent, {key: hidden}).mean(0)
            said = [f"{one}, replaced by {r:.3g}" for one, r in zip(said, replaced, strict=True)]
        texts += said
    return texts


def name_empty(importance: Importance, explainer: str, targets: Sequence[str]) -> str:
    """Say which targets no feature matters to; nothing if there are none.

    :param importance: importance of every feature to C targets
    :param explainer: name of the explainer
    :param targets: C names
    """
    empty = [
        name
        for name, means in zip(targets, importance.mean, strict=True)
        if not (means > NOTHING).any()
    ]
    label = get_explainer_label(explainer)
    return f" By {label}, no feature matters to {join_words(empty)}." if empty else ""


def compute_shares(agent: Agent, scores: torch.Tensor) -> torch.Tensor:
    """Turn scores (B, K) into what the bars of a picture show: (B, C) in [0, 1].

    These are the probabilities of the targets, or the position of each dimension of a Box action in
    its range.
    """
    space = agent.action_space
    if isinstance(space, spaces.Box):
        middle, extent = score_range(space, squashed=agent.squashed)
        return ((scores - middle.to(scores)) / extent.to(scores) + 0.5).clamp(0, 1)
    return log_probabilities(space, target_scores(space, scores)).exp()


def name_measure(agent: Agent) -> str:
    """Name what :func:`compute_shares` returns."""
    if isinstance(agent.action_space, spaces.Box):
        return "position in its range"
    return "softmax of Q" if agent.view.value_based else "probability"


def choose_clear_states(states: StateDataset, agent: Agent, n: int = EXAMPLES) -> list[int]:
    """Choose states in which the agent is sure: for each frequent target, the one with the surest.

    :param states: states to choose from
    :param agent: the agent of the states
    :param n: at most this many states
    :return: sorted positions of the states
    """
    scores = torch.from_numpy(states.column("scores"))
    space = agent.action_space
    main = default_target(space, target_scores(space, scores), squashed=agent.squashed)
    share = compute_shares(agent, scores)
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
    states: StateDataset,
    explainer: Explainer,
    name: str,
    position: int,
    target: TargetLike = None,
) -> TargetAttributions:
    """Explain the target that is asked for, or every one, of one state, with its frame.

    :param states: states of the explainer's agent
    :param explainer: an explainer that is ready to explain
    :param name: name of the image key that is shown
    :param position: position of the state
    :param target: the one target that is explained; all of the explainer's when not given
    """
    agent = explainer.agent
    own = explainer.own_target if target is None else target
    asked, batch = own is not None, states.batch(agent, [position], own)
    attributions = take_newest_frame(attribute_asked(explainer, batch, own)[name], agent)
    if not explainer.gives_masks:  # one range for all targets, so that their maps compare
        attributions = normalize(attributions)
    return TargetAttributions(
        frame=get_pictures(states, np.array([position]), agent, name)[0],
        attributions=attributions[0].cpu().numpy(),
        action_names=list_explained(explainer, own),
        probabilities=[] if asked else compute_shares(agent, batch.own_scores)[0].cpu().numpy(),
        chosen=0 if asked else int(batch.target[0]),
        forbidden=() if asked else list_forbidden(batch),
        caption=name_state(states, position)
        + (f": {describe_explained(batch, 0, '; ')}" if asked else ""),
        signed=not explainer.gives_masks and bool((attributions < 0).any()),
        positions={name_state(states, position): position},
    )


def get_pictures(
    states: StateDataset, positions: NDArray[np.int64], agent: Agent, name: str = ""
) -> NDArray[Any]:
    """Return the frames as rendered, or as the agent observes them where none were stored.

    :param states: the states
    :param positions: (B,) positions among the states
    :param agent: the agent of the states
    :param name: name of the image key
    :return: (B, h, w, 3) uint8
    """
    rendered = states.rendered(positions)
    if rendered is not None:
        return rendered
    frames = agent.layout.arrange_key(name, states.frames_by_key(positions)[name]).numpy()
    low, high = (0, 255) if frames.dtype == np.uint8 else (frames.min(), frames.max())
    return to_rgb(frames, low, high)


def take_newest_frame(attributions: torch.Tensor, agent: Agent) -> torch.Tensor:
    """Return the attributions of the newest frame, (..., F * C, H, W) -> (..., H, W).

    Of several color channels, that of the largest magnitude is taken at each pixel.
    """
    n_channels = attributions.shape[-3] // agent.n_stack
    newest = attributions[..., -n_channels:, :, :]
    strongest = newest.abs().argmax(dim=-3, keepdim=True)
    return newest.gather(-3, strongest).squeeze(-3)


def find_taken_targets(agent: Agent, actions: NDArray[Any], scores: torch.Tensor) -> torch.Tensor:
    """Return the target of each action taken; of several sub-actions, that of the surest one.

    :param agent: the agent that acted
    :param actions: (B, ...) actions as the environment took them
    :param scores: (B, K) scores of the states
    :return: (B,) indices of targets
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


def batch_taken(
    states: StateDataset, agent: Agent, positions: NDArray[np.int64], target: TargetLike = None
) -> StateBatch:
    """Return states as a batch that explains the action taken in each, or what is asked for.

    :param states: states of the agent
    :param agent: agent to explain
    :param positions: (B,) positions of the states
    :param target: what is explained in every state; the action taken when not given
    """
    if target is None:
        scores = torch.from_numpy(states.column("scores")[positions])
        target = find_taken_targets(agent, states.actions[positions], scores)
    return states.batch(agent, positions, target)


def name_asked(agent: Agent, target: TargetLike) -> tuple[str, int | None]:
    """Name the target that was asked for, and find its index if it is an action.

    :param agent: the agent that is explained
    :param target: what is explained in every state; ``None`` for the action taken
    :return: the name, empty for the action taken, and the index among ``agent.target_names``
    """
    if target is None:
        return "", None
    found = find_target(agent, target)
    return (agent.target_names[found], found) if isinstance(found, int) else (found.name, None)


def name_greedy_actions(agent: Agent, scores: Tensor) -> list[str]:
    """Name the agent's greedy action in each state of scores (B, K).

    A Box action is named by its numbers as the environment receives them.
    """
    if isinstance(agent.action_space, spaces.Box):
        received = agent.act_on(scores).reshape(len(scores), -1)
        return [", ".join(f"{value:.2f}" for value in row) for row in received.tolist()]
    best = greedy_targets(agent.action_space, target_scores(agent.action_space, scores))
    return [
        ", ".join(name for name, taken in zip(agent.target_names, row, strict=True) if taken)
        for row in best.tolist()
    ]
