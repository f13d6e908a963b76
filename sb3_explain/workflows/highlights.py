"""HIGHLIGHTS: the most important states of an agent's episodes, as one short video.

Amir and Amir (2018), "HIGHLIGHTS: Summarizing agent behavior to people". States are chosen by their
importance, most important first; HIGHLIGHTS-DIV leaves out states that are like one already chosen.
The paper chooses while the agent plays and keeps the best so far; here all episodes are stored, so
that the choice is greedy over all of them. The paper compares what states look like; here they are
compared as the agent represents them, since a score on the screen makes similar states look
different.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.common.attributions import join_features
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.feature_names import list_feature_names
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.forbidden import list_all_forbidden
from sb3_explain.explainers.make import default_explainer, make_explainer, make_unfitted
from sb3_explain.explainers.requirements import require_supported
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import Tile, contact_sheet
from sb3_explain.report.video import require_video
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.environments import AnyEnv
from sb3_explain.workflows.critical_steps import StateMask
from sb3_explain.workflows.critical_steps.stored_states import CRITICAL
from sb3_explain.workflows.importances import (
    choose_importance,
    compute_importance,
    compute_returns,
)
from sb3_explain.workflows.pictures import (
    batch_taken,
    compute_shares,
    get_pictures,
    name_asked,
    name_greedy_actions,
    name_measure,
)
from sb3_explain.workflows.represented_states import represent_states
from sb3_explain.workflows.saliency_video import attribute_taken, write_saliency_video
from sb3_explain.workflows.whole_episodes import EPISODES, play_whole_episodes
from sb3_explain.workflows.why import prepare_explainer

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

#: number of pairs of states that the distribution of distances is estimated from
PAIRS = 2000
#: number of features that are named for each highlight
NAMED = 3
#: number of frames for which the video stands still at the important state
STILL = 8


@dataclasses.dataclass(frozen=True)
class Highlight:
    """An important state, with the states before and after it.

    :param position: position of the important state in the data set
    :param start: position of the first state that is shown
    :param stop: position after the last state that is shown
    :param importance: importance of the state
    :param episode: number of its episode
    :param step: number of the state within its episode
    :param episode_return: return of its episode; ``None`` in the last one, which is cut
    """

    position: int
    start: int
    stop: int
    importance: float
    episode: int = 0
    step: int = 0
    episode_return: float | None = None

    def __str__(self) -> str:
        """Say where the state is, and how its episode ends."""
        known = self.episode_return is not None
        ending = f"of return {self.episode_return:.4g}" if known else "which is cut"
        return (
            f"state {self.position}: importance {self.importance:.3g}, step {self.step} of episode "
            f"{self.episode}, {ending}"
        )


@torch.no_grad()
def select(
    importance: Array,
    episode: NDArray[np.int64],
    represented: Array,
    k: int = 5,
    *,
    before: int = 30,
    after: int = 10,
    diversity: float = 0.1,
    once: bool = False,
    seed: int = 0,
) -> list[Highlight]:
    """Select the k most important states that differ from each other, most important first.

    The states that are shown before and after them do not overlap, and two important states are
    further apart than the share ``diversity`` of all pairs of states.

    :param importance: (n,) importance of states in time order, episode after episode
    :param episode: (n,) number of each state's episode
    :param represented: (n, D) states as :func:`represent_states` returns them; the distance of two
        is 1 minus the cosine of the angle between them, since representations of important states
        are long
    :param k: number of highlights; fewer are returned where no more states differ
    :param before: number of states shown before an important state, within its episode
    :param after: number of states shown after it
    :param diversity: share of all pairs of states that are nearer to each other than two important
        states may be, in [0, 1)
    :param once: choose one state of an episode at most, and none whose importance is 0
    :param seed: random seed of the pairs that distances are estimated from
    :raises ExplainError: for numbers out of range
    """
    require_numbers(k, before, after, diversity)
    directions = represented / np.linalg.norm(represented, axis=1, keepdims=True).clip(1e-12)
    first, second = np.random.default_rng(seed).integers(len(represented), size=(2, PAIRS))
    distances = 1 - (directions[first] * directions[second]).sum(axis=1)
    min_distance = float(np.quantile(distances, diversity)) if diversity else -1.0
    chosen: list[Highlight] = []
    for position in np.argsort(-importance, kind="stable"):
        if once and (
            importance[position] <= 0
            or any(episode[position] == episode[one.position] for one in chosen)
        ):
            continue
        own = np.flatnonzero(episode == episode[position])
        start, stop = max(own[0], position - before), min(own[-1], position + after) + 1
        if any(start < one.stop and one.start < stop for one in chosen):
            continue
        taken = directions[[one.position for one in chosen]]
        if len(taken) and (1 - taken @ directions[position]).min() <= min_distance:
            continue
        chosen.append(Highlight(int(position), int(start), int(stop), float(importance[position])))
        if len(chosen) == k:
            break
    return chosen


def require_numbers(k: int, before: int, after: int, diversity: float) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` if a number is out of range."""
    if k < 1 or before < 0 or after < 0 or not 0 <= diversity < 1:
        raise ExplainError(
            f"k={k}, before={before}, after={after}, diversity={diversity}: give positive numbers, "
            "and a share below 1"
        )


@check_arguments
def highlights(
    agent: Agent | BaseAlgorithm,
    output: str | Path,
    *,
    env: AnyEnv | None = None,
    k: int = 5,
    n_states: int = 10_000,
    before: int = 30,
    after: int = 10,
    diversity: float | None = None,
    importance: str | None = None,
    explainer: str | Explainer | None = None,
    target: TargetLike = None,
    fps: float = 15,
    seed: int = 0,
    progress: bool = True,
) -> list[Highlight]:
    """Play an agent, and show the states in which its choice of an action matters most.

    ``output`` gets ``episodes/`` (the states of whole episodes), ``highlights.mp4``,
    ``highlights.png`` and ``highlights.json``. The video stands still at each important state for
    half a second.

    >>> from sb3_explain import highlights
    >>> found = highlights(agent, folder, k=2, n_states=200, before=4, after=2, progress=False)
    >>> len(found), found[0].importance >= found[1].importance
    (2, True)

    :param agent: the agent to play
    :param output: folder for everything that is written
    :param env: the environment, as :func:`sb3_explain.collect` takes it; the agent's own when not
        given
    :param k: number of highlights
    :param n_states: number of states to play; the last episode is cut there
    :param before: number of states shown before an important state, within its episode
    :param after: number of states shown after it
    :param diversity: share of all pairs of states that are nearer to each other than two important
        states may be, in [0, 1); 0.1 when not given, and 0 before failures, of which each counts
    :param importance: a name of :data:`sb3_explain.workflows.importances.NAMES`, such as
        ``"before_failure"``; when not given ``"gap"``, for Box actions ``"value_change"``.
        ``"critical"`` needs a :class:`sb3_explain.StateMask` that was fitted in the folder
        ``critical`` of ``output``
    :param explainer: an explainer that is ready to explain, or a name; one that learns is loaded
        from ``output``. :func:`sb3_explain.explainers.make.default_explainer` when not given
    :param target: what is explained in every state, such as ``"LEFT"`` or ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); the action taken when not given
    :param fps: number of states per second of the video
    :param seed: random seed of the episodes
    :param progress: show progress bars
    :return: the highlights, most important first
    :raises ExplainError: for numbers out of range, or an explainer that does not support the agent
        or has still to be fitted
    """
    agent = read_agent(agent)
    output = Path(output)
    # Fail now, not after the agent has played.
    require_video(fps)
    importance = choose_importance(agent, importance)
    mask = StateMask.load(agent, output / CRITICAL) if importance == CRITICAL else None
    if diversity is None:
        diversity = 0.0 if importance == "before_failure" else 0.1
    require_numbers(k, before, after, diversity)
    explainer = default_explainer(agent, quick=True) if explainer is None else explainer
    if isinstance(explainer, str):
        require_supported(EXPLAINERS[explainer], agent)
        if issubclass(EXPLAINERS[explainer], FittedExplainer):
            explainer = make_explainer(explainer, agent, folder=output / explainer)
    if target is not None:
        found = find_target(agent, target)
        asked = explainer if isinstance(explainer, Explainer) else make_unfitted(explainer, agent)
        require_explained(asked, found)
    states = play_whole_episodes(
        agent, output / EPISODES, n_states, env=env, seed=seed, progress=progress
    )
    if isinstance(explainer, str):
        explainer = prepare_explainer(agent, explainer, output, states)
    chosen = select(
        compute_importance(agent, states, importance, mask),
        states.episode,
        represent_states(agent, states),
        k,
        before=before,
        after=after,
        diversity=diversity,
        once=importance == "before_failure",  # an episode has one end
        seed=seed,
    )
    if importance == "before_failure" and len(chosen) < k:
        logger.warning(
            "%d of k=%d: so many episodes ended, and worse than the best; play more (n_states=...)",
            len(chosen), k,
        )  # fmt: skip
    chosen = place(chosen, states)
    important = np.array([one.position for one in chosen])
    features = name_top_features(states, explainer, important, target)
    positions, notes = [], []
    for number, one in enumerate(chosen, start=1):
        shown = [*range(one.start, one.position), *[one.position] * STILL]
        shown += range(one.position + 1, one.stop)
        positions += shown
        name = f"highlight {number} of {len(chosen)}"
        # there is room for the first feature
        note = f"{name}: this state"
        if features[number - 1]:
            note = f"{number} of {len(chosen)}: {features[number - 1].partition(',')[0]}"
        notes += [note if at == one.position else name for at in shown]
    attributions = None
    if find_image(agent) is not None:
        attributions = attribute_taken(
            states, explainer, np.array(positions), target=target, progress=progress
        )
    write_saliency_video(
        output / "highlights.mp4", states, explainer, positions=np.array(positions),
        attributions=attributions, notes=notes, target=target, fps=fps, progress=progress,
    )  # fmt: skip
    sheet = draw_sheet(states, explainer, chosen, features, attributions, target)
    save(output / "highlights.png", sheet)
    names = name_greedy_actions(agent, torch.from_numpy(states.column("scores")[important]))
    write_json(
        output / "highlights.json",
        [
            {**dataclasses.asdict(one), "greedy": name}
            for one, name in zip(chosen, names, strict=True)
        ],
    )
    return chosen


def place(chosen: Sequence[Highlight], states: StateDataset) -> list[Highlight]:
    """Say of each highlight in which episode it is, where, and what return that has."""
    steps, returns = states.steps, compute_returns(states)
    return [
        dataclasses.replace(
            one,
            episode=int(states.episode[one.position]),
            step=int(steps[one.position]),
            episode_return=None if math.isnan(earned := returns[one.position]) else float(earned),
        )
        for one in chosen
    ]


def name_top_features(
    states: StateDataset,
    explainer: Explainer,
    positions: NDArray[np.int64],
    target: TargetLike = None,
) -> list[str]:
    """Name the features that matter most to the action taken: ``"feature 2 61%, feature 3 20%"``.

    The percentages are shares of the magnitude of all attributions.

    :param states: states of the explainer's agent
    :param explainer: an explainer that is ready to explain
    :param positions: (m,) positions of the states to explain
    :param target: what is explained; the action taken when not given
    :return: a text for each of the m states, empty for an agent that observes images
    """
    agent = explainer.agent
    if find_image(agent) is not None:
        return [""] * len(positions)
    attributions = explainer.attribute_batch(batch_taken(states, agent, positions, target))
    names = list_feature_names(
        {name: one[0].numel() for name, one in attributions.items()}, agent.feature_names
    )
    flat = join_features(attributions).abs().cpu()
    shared = flat / flat.sum(dim=1, keepdim=True).clamp_min(1e-30)
    values, order = shared.topk(min(NAMED, len(names)), dim=1)
    return [
        ", ".join(f"{names[i]} {share:.0%}" for share, i in zip(*row, strict=True))
        for row in zip(values.tolist(), order.tolist(), strict=True)
    ]


def draw_sheet(
    states: StateDataset,
    explainer: Explainer,
    chosen: list[Highlight],
    features: Sequence[str],
    attributions: Mapping[int, Array] | None,
    target: TargetLike = None,
) -> bytes:
    """Draw the important states with their attributions on one sheet, as a PNG.

    :param states: states of the explainer's agent
    :param explainer: the explainer of the attributions
    :param chosen: the highlights
    :param features: what :func:`name_top_features` says of each
    :param attributions: attributions by position, of an agent that observes images
    :param target: what is explained in every state; the action taken when not given
    """
    agent = explainer.agent
    target = explainer.own_target if target is None else target
    name = find_image(agent)
    important = np.array([one.position for one in chosen])
    scores = torch.from_numpy(states.column("scores")[important])
    rendered = name is not None or states.rendered(important[:1]) is not None
    pictures = get_pictures(states, important, agent, name or "") if rendered else None
    shares = compute_shares(agent, scores).numpy()
    forbidden = list_all_forbidden(agent.action_space, scores)
    tiles = [
        Tile(
            probabilities=shares[row],
            action=action,
            remark=f"{chosen[row]}\n{features[row]}".strip(),
            picture=None if pictures is None else pictures[row],
            attribution=None if attributions is None else attributions[chosen[row].position],
            signed=not explainer.gives_masks,
            forbidden=forbidden[row],
        )
        for row, action in enumerate(name_greedy_actions(agent, scores))
    ]
    asked, marked = name_asked(agent, target)
    title = f"The {len(chosen)} most important of {len(states):,} states"
    title += f"; explained: {asked}" if asked else ""
    return contact_sheet(
        tiles, agent.target_names, title=title, measure=name_measure(agent), marked=marked
    )
