"""HIGHLIGHTS: the moments of an agent's life that say most about it, as one short video.

Amir and Amir (2018), "HIGHLIGHTS: Summarizing agent behavior to people". States are taken by their
importance, most important first; HIGHLIGHTS-DIV leaves out what is like a moment that was taken
already. The paper chooses while the agent plays and keeps the best so far; here the whole life is
known, so the choice is greedy over all of it. The paper compares what states look like; here they
are compared as the agent represents them, for a score on the screen makes pictures differ that show
the same moment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.agents.action_spaces import group_sizes, target_scores
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import copy_agent, find_layers
from sb3_explain.agents.observations import find_image
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import write_json
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer, require_supported
from sb3_explain.explainers.make import default_explainer, make_explainer
from sb3_explain.report import save
from sb3_explain.report.contact_sheet import Tile, contact_sheet
from sb3_explain.states.batch import PASS
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import (
    attribute_taken,
    feature_names,
    find_taken_targets,
    greedy_names,
    measure_of,
    pictures_of,
    shares,
    write_saliency_video,
)
from sb3_explain.workflows.why import ready_explainer

Array = NDArray[np.float64]

#: pairs of states whose distances say how far apart states are
PAIRS = 2000
#: states that one of the environments side by side plays
STATES_OF_ENV, MOST_ENVS = 1000, 8
#: features that a moment names
NAMED = 3
#: frames for which a video stands still at the moment itself
STILL = 8


@dataclasses.dataclass(frozen=True)
class Highlight:
    """One moment with what led to it and what came of it.

    :param position: of the moment among the states
    :param start: first position of its context
    :param stop: position after its last
    :param importance: of the moment
    """

    position: int
    start: int
    stop: int
    importance: float


def score_gap(agent: Agent, states: StateDataset) -> Array:
    """(n,) max - min of the scores: Q-values (equation 1 of the paper), else logits.

    Of several sub-actions the largest gap. Where it is high, it matters much what is done.
    """
    scores = target_scores(agent.action_space, torch.from_numpy(states.column("scores")))
    groups = torch.split(scores, group_sizes(agent.action_space), dim=1)
    gaps = torch.stack([group.amax(dim=1) - group.amin(dim=1) for group in groups], dim=1)
    return gaps.amax(dim=1).double().numpy()


def value_change(agent: Agent, states: StateDataset) -> Array:
    """(n,) |V(s') - V(s)|: by how much the next state changes what the agent expects.

    0 at the end of an episode.
    """
    del agent
    values = states.column("values").astype(np.float64)
    change = np.zeros(len(values))
    same = states.episode[1:] == states.episode[:-1]
    change[:-1][same] = np.abs(np.diff(values))[same]
    return change


IMPORTANCES: dict[str, Callable[[Agent, StateDataset], Array]] = {
    "score_gap": score_gap,
    "value_change": value_change,
}


def compute_importance(agent: Agent, states: StateDataset, name: str | None = None) -> Array:
    """(n,) how much each state matters.

    :param name: of :data:`IMPORTANCES`; where not given ``"score_gap"``, for Box actions
        ``"value_change"``
    :raises ExplainError: for an unknown name, or one that this agent does not have
    """
    importance = IMPORTANCES[importance_named(agent, name)](agent, states)
    if not np.isfinite(importance).all():
        raise ExplainError("this agent has no values: use score_gap")
    return importance


@torch.no_grad()
def representations(agent: Agent, states: StateDataset) -> Array:
    """(n, D) states as the agent represents them: what its last layer is given, standardised.

    So a score on the screen that the agent does not heed makes no difference. The scores stand in
    for a module whose layers are not known.
    """
    watched = copy_agent(agent)
    layers = find_layers(watched)
    kept: list[torch.Tensor] = []
    if layers:
        last = watched.view.policy.get_submodule(layers[0])
        last.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].flatten(1).cpu()))
        for positions in np.array_split(np.arange(len(states)), -(-len(states) // PASS)):
            batch = states.batch(watched, positions)
            batch.scores(batch.by_key)
    else:
        kept.append(torch.from_numpy(states.column("scores")))
    rows = torch.cat(kept).double()
    std = rows.std(dim=0)
    standardized: Array = ((rows - rows.mean(dim=0)) / torch.where(std > 0, std, 1.0)).numpy()
    return standardized


def importance_named(agent: Agent, name: str | None) -> str:
    """The name of the importance to use.

    :raises ExplainError: for an unknown name, or one that this agent does not have
    """
    continuous = isinstance(agent.action_space, spaces.Box)
    name = name or ("value_change" if continuous else "score_gap")
    if name not in IMPORTANCES:
        raise unknown_name("importance", name, IMPORTANCES)
    if name == "score_gap" and continuous:
        raise ExplainError("Box actions have no gap of scores: use value_change")
    return name


def select(
    importance: Array,
    episode: NDArray[np.int64],
    seen: Array,
    k: int = 5,
    *,
    before: int = 30,
    after: int = 10,
    diversity: float = 0.1,
    seed: int = 0,
) -> list[Highlight]:
    """The k most important moments that differ from each other, most important first.

    No two contexts overlap, and two moments are further apart than ``diversity`` of all
    pairs of states are.

    :param importance: (n,) of states in time order, episode after episode
    :param episode: (n,) of each state
    :param seen: (n, D) states as :func:`representations` gives them; the distance is 1 less the
        cosine of the angle between two, since representations of important states are long
    :param k: moments; fewer if there are no more that differ
    :param before: states of context before the moment, in its episode
    :param after: states after it
    :param diversity: share of pairs of states that are nearer than two moments may be, in [0, 1)
    :param seed: of the pairs that are looked at
    :raises ExplainError: for numbers out of range
    """
    require_numbers(k, before, after, diversity)
    directions = seen / np.linalg.norm(seen, axis=1, keepdims=True).clip(1e-12)
    first, second = np.random.default_rng(seed).integers(len(seen), size=(2, PAIRS))
    usual = 1 - (directions[first] * directions[second]).sum(axis=1)
    least = float(np.quantile(usual, diversity)) if diversity else -1.0
    chosen: list[Highlight] = []
    for position in np.argsort(-importance, kind="stable"):
        own = np.flatnonzero(episode == episode[position])
        start, stop = max(own[0], position - before), min(own[-1], position + after) + 1
        if any(start < one.stop and one.start < stop for one in chosen):
            continue
        taken = directions[[one.position for one in chosen]]
        if len(taken) and (1 - taken @ directions[position]).min() <= least:
            continue
        chosen.append(Highlight(int(position), int(start), int(stop), float(importance[position])))
        if len(chosen) == k:
            break
    return chosen


def require_numbers(k: int, before: int, after: int, diversity: float) -> None:
    """:raises ExplainError: for numbers out of range"""
    if k < 1 or before < 0 or after < 0 or not 0 <= diversity < 1:
        raise ExplainError(
            f"k={k}, before={before}, after={after}, diversity={diversity}: give positive numbers, "
            "and a share below 1"
        )


@check_arguments
def highlights(
    agent: Agent,
    output: str | Path,
    *,
    k: int = 5,
    n_states: int = 10_000,
    before: int = 30,
    after: int = 10,
    diversity: float = 0.1,
    importance: str | None = None,
    explainer: str | Explainer | None = None,
    fps: float = 15,
    seed: int = 0,
    progress: bool = True,
) -> list[Highlight]:
    """Play the agent, and show the moments of its life that matter most.

    ``output`` gets ``life/`` (whole episodes), ``highlights.mp4``, ``highlights.png`` and
    ``highlights.json``. The video stands still at each moment for half a second.

    :param agent: to play
    :param output: folder for all that is made
    :param k: moments
    :param n_states: of the agent's life
    :param before: states of context before a moment
    :param after: states after it
    :param diversity: see :func:`select`
    :param importance: of :data:`IMPORTANCES`
    :param explainer: one that is ready, or a name: one that learns as it was fitted in ``output``;
        :func:`sb3_explain.explainers.make.default_explainer` when not given
    :param fps: states a second
    :param seed: of all chance
    :param progress: show bars
    :return: the moments, most important first
    """
    output = Path(output)
    # What cannot work shall fail now, not after the agent has played.
    require_numbers(k, before, after, diversity)
    importance = importance_named(agent, importance)
    explainer = explainer or default_explainer(agent)
    if isinstance(explainer, str):
        require_supported(EXPLAINERS[explainer], agent)
        if issubclass(EXPLAINERS[explainer], FittedExplainer):
            explainer = make_explainer(explainer, agent, folder=output / explainer)
    life, n_envs = output / "life", None
    if not life.exists():
        # whole episodes side by side are played to their ends, however few states are wanted
        n_envs = min(MOST_ENVS, -(-n_states // STATES_OF_ENV))
    states = collect(
        agent, n_states=n_states, folder=life, seed=seed, max_per_episode=0, n_envs=n_envs,
        progress=progress,
    )  # fmt: skip
    if isinstance(explainer, str):
        explainer = ready_explainer(agent, explainer, output, states)
    found = select(
        compute_importance(agent, states, importance), states.episode,
        representations(agent, states), k, before=before, after=after, diversity=diversity, seed=seed,
    )  # fmt: skip
    moments = np.array([one.position for one in found])
    heeded = features_of(states, explainer, moments)
    positions, notes = [], []
    for number, one in enumerate(found, start=1):
        shown = [*range(one.start, one.position), *[one.position] * STILL]
        shown += range(one.position + 1, one.stop)
        positions += shown
        name = f"highlight {number} of {len(found)}"
        # there is room for the first feature
        looked = f"{name}: this moment"
        if heeded[number - 1]:
            looked = f"{number} of {len(found)}: {heeded[number - 1].partition(',')[0]}"
        notes += [looked if at == one.position else name for at in shown]
    attributions = None
    if find_image(agent) is not None:
        attributions = attribute_taken(states, explainer, np.array(positions), progress=progress)
    write_saliency_video(
        output / "highlights.mp4", states, explainer, positions=np.array(positions),
        attributions=attributions, notes=notes, fps=fps, progress=progress,
    )  # fmt: skip
    save(output / "highlights.png", sheet(states, explainer, found, heeded, attributions))
    steps = states.steps
    names = greedy_names(agent, torch.from_numpy(states.column("scores")[moments]))
    write_json(
        output / "highlights.json",
        [
            {
                **dataclasses.asdict(one),
                "episode": int(states.episode[one.position]),
                "step": int(steps[one.position]),
                "greedy": name,
            }
            for one, name in zip(found, names, strict=True)
        ],
    )
    return found


def features_of(
    states: StateDataset, explainer: Explainer, moments: NDArray[np.int64]
) -> list[str]:
    """What matters most to the action taken, in words: ``"feature 2 61%, feature 3 20%"``.

    The shares of the magnitude of all attributions; no words of an agent that sees images.

    :param moments: positions of the states
    """
    agent = explainer.agent
    if find_image(agent) is not None:
        return [""] * len(moments)
    scores = torch.from_numpy(states.column("scores")[moments])
    taken = find_taken_targets(agent, states.actions[moments], scores)
    attributions = explainer.attribute_batch(states.batch(agent, moments, taken))
    names = feature_names({name: one[0].numel() for name, one in attributions.items()})
    flat = torch.cat([one.flatten(1).abs().cpu() for one in attributions.values()], dim=1)
    shared = flat / flat.sum(dim=1, keepdim=True).clamp_min(1e-30)
    values, order = shared.topk(min(NAMED, len(names)), dim=1)
    return [
        ", ".join(f"{names[i]} {share:.0%}" for share, i in zip(*row, strict=True))
        for row in zip(values.tolist(), order.tolist(), strict=True)
    ]


def sheet(
    states: StateDataset,
    explainer: Explainer,
    found: list[Highlight],
    heeded: Sequence[str],
    attributions: Mapping[int, Array] | None,
) -> bytes:
    """PNG of the moments themselves, with their maps.

    :param heeded: see :func:`features_of`
    :param attributions: by position, of an agent that observes images
    """
    agent = explainer.agent
    name = find_image(agent)
    moments = np.array([one.position for one in found])
    scores = torch.from_numpy(states.column("scores")[moments])
    rendered = name is not None or states.rendered(moments[:1]) is not None
    pictures = pictures_of(states, moments, name or "") if rendered else None
    tiles = [
        Tile(
            probabilities=shares(agent, scores)[row].numpy(),
            action=action,
            remark=f"importance {found[row].importance:.3g}\n{heeded[row]}".strip(),
            picture=None if pictures is None else pictures[row],
            attribution=None if attributions is None else attributions[found[row].position],
            signed=not explainer.gives_masks,
        )
        for row, action in enumerate(greedy_names(agent, scores))
    ]
    title = f"The {len(found)} most important moments of {len(states):,} states"
    return contact_sheet(tiles, agent.target_names, title=title, measure=measure_of(agent))
