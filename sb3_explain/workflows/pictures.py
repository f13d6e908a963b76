"""Pictures of an agent's states with their attributions, for the report."""

from __future__ import annotations

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
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.common.attributions import normalize
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.forbidden import list_forbidden
from sb3_explain.explainers.showing import describe_explained
from sb3_explain.report import (
    Picture,
    TargetAttributions,
    target_attributions_figure,
)
from sb3_explain.report.overlay import to_rgb
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.boards import list_explained
from sb3_explain.workflows.feature_pictures import attribute_asked, picture_importance
from sb3_explain.workflows.whole_episodes import name_state

#: number of states shown with the attributions of every action
EXAMPLES = 4


def make_examples(
    states: StateDataset, explainer: Explainer, target: TargetLike = None
) -> dict[str, TargetAttributions | Picture]:
    """Make the report's pictures of single states, by the name of their files.

    For an agent that observes images, they are some states with the attributions of every target;
    for one that observes features, the importance of each of them.

    :param states: states that the explainer has not learned from
    :param explainer: an explainer that is ready to explain
    :param target: the one target that is explained; all of the explainer's when not given
    """
    agent = explainer.agent
    name = find_image(agent)
    examples: dict[str, TargetAttributions | Picture] = {}
    if name is not None:
        for number, position in enumerate(choose_clear_states(states, agent)):
            shown = make_target_attributions(states, explainer, name, position, target)
            examples[f"state_{number}"] = shown
    return examples | picture_importance(states, explainer, target=target)


def render_png(example: TargetAttributions | Picture) -> bytes:
    """Return the content of an example's PNG file."""
    return example.png if isinstance(example, Picture) else target_attributions_figure(example)


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
