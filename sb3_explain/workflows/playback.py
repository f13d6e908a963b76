"""Play stored steps of an agent back: their pictures and numbers, and their maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import group_sizes
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.attributions import join_features, normalize
from sb3_explain.common.progress import progress_bar
from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.forbidden import find_forbidden
from sb3_explain.report.overlay import to_rgb
from sb3_explain.report.viewer.playback import (
    Bookmark,
    Episode,
    Explained,
    Playback,
    StepAttributions,
    list_first_steps,
    list_steps_to,
)
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import compute_shares, find_taken_targets, take_newest_frame
from sb3_explain.workflows.removal import count_removed, remove_regions
from sb3_explain.workflows.step_columns import (
    UNKNOWN,
    ValueNote,
    compute_columns,
    describe_drawing,
    describe_value,
    list_bookmarks,
)
from sb3_explain.workflows.whole_episodes import choose_steps

Array = NDArray[Any]
#: number of states that are explained at once
CHUNK = 64
#: where all targets of a state take more forward passes than this, and than one target, the action
#: taken alone is explained
ALL_TARGETS = 50
#: number of maps of a page, which take about 2 kB each
N_ATTRIBUTIONS = 18_000


def make_playback(
    states: StateDataset,
    explainers: Mapping[str, Explainer],
    *,
    agent: Agent,
    limit: int = 1000,
    budget: int = 60_000,
    target: TargetLike = None,
    name: str = "",
    marked: Sequence[Bookmark] = (),
    baselines: Mapping[str, Baseline] | None = None,
    progress: bool = True,
) -> Playback:
    """Explain steps of whole episodes, for a page that plays them.

    :param states: states of whole episodes, episode after episode
    :param explainers: explainers that are ready to explain by name
    :param agent: the agent of the states
    :param limit: number of steps that are shown, at most
    :param budget: number of forward passes for each explainer, about: one of many passes for a
        state explains the first of every 2, 4, 8, ... steps, and those that lead to a bookmark
    :param target: what is explained (see :mod:`sb3_explain.agents.targets`); every target, or the
        action taken where that takes many passes, when not given
    :param name: name of the agent, as it is shown
    :param marked: further steps that are worth a look, by their positions among ``states``; those
        that are not shown are left out
    :param baselines: what replaces a region or a feature that is removed, by key; the background of
        the steps when not given
    :param progress: show a progress bar
    """
    positions, episodes = choose_steps(states, limit)
    shown = states.subset(positions)
    played = compute_columns(agent, states)
    columns = {key: each[positions] for key, each in played.items()}
    note = describe_value(agent, played, states.episode)
    playback = show_steps(shown, agent, episodes, columns, note)
    taken = torch.from_numpy(playback.taken)
    first = shown.batch(agent, np.arange(1))
    bookmarks = [*playback.bookmarks, *place_bookmarks(marked, positions)]

    def choose(every: int) -> NDArray[np.int64]:
        """Choose the first of every so many steps, and all that lead to a bookmark."""
        firsts = list_first_steps(episodes, every)
        return np.union1d(firsts, list_steps_to(bookmarks, episodes))

    removed = choose(choose_stride(count_removed(first), len(shown), budget))
    found = None if target is None else find_target(agent, target)
    plans = {
        key: plan_explaining(one, shown, found, budget, N_ATTRIBUTIONS // len(explainers))
        for key, one in explainers.items()
    }
    chosen = {key: choose(plan.every) for key, plan in plans.items()}
    n = sum(map(len, chosen.values()))
    with progress_bar("explaining steps", n, "states", progress) as bar:
        explained = [
            explain_steps(
                shown, one, chosen[key], taken,
                name=key, everything=plans[key].everything, target=found, advance=bar.update,
            )
            for key, one in explainers.items()
        ]  # fmt: skip
    return dataclasses.replace(
        playback,
        name=name,
        explained=explained,
        removal=remove_regions(shown, agent, removed, baselines),
        asked=found.name if isinstance(found, ScalarTarget) else "",
        target=found if isinstance(found, int) else None,
        bookmarks=bookmarks,
    )


def place_bookmarks(marked: Sequence[Bookmark], positions: NDArray[np.int64]) -> list[Bookmark]:
    """Place bookmarks of all states among the steps that are shown; others are left out."""
    places = {int(position): place for place, position in enumerate(positions)}
    return [
        dataclasses.replace(one, position=places[one.position])
        for one in marked
        if one.position in places
    ]


def show_steps(
    shown: StateDataset,
    agent: Agent,
    episodes: Sequence[Episode],
    columns: Mapping[str, Array],
    note: ValueNote = UNKNOWN,
) -> Playback:
    """Show steps as they were played, without any map.

    :param shown: states of the steps
    :param agent: the agent of the states
    :param episodes: the episodes, with the places of their steps
    :param columns: what :func:`.compute_columns` returns, of these steps
    :param note: what :func:`.describe_value` returns, of all steps
    """
    image = find_image(agent)
    scores = torch.from_numpy(shown.column("scores"))
    features, names = None, []
    if image is None:
        by_key = shown.batch(agent, np.arange(len(shown))).by_key
        features = show_values(agent, by_key).numpy()
        names = name_features(agent, {key: one[0].numel() for key, one in by_key.items()})
    return Playback(
        name="",
        episodes=episodes,
        shares=compute_shares(agent, scores).numpy(),
        taken=find_taken_targets(agent, shown.actions, scores).numpy(),
        target_names=agent.target_names,
        groups=group_sizes(agent.action_space),
        drawn=describe_drawing(agent, shown),
        columns=columns,
        rendered=shown.rendered(np.arange(len(shown))),
        observed=None if image is None else read_observed(shown, agent, image),
        n_stack=agent.n_stack,
        features=features,
        feature_names=names,
        bookmarks=list_bookmarks(episodes, columns),
        forbidden=read_forbidden(shown, agent, scores),
        value_note=note.said,
        one_scale=note.one_scale,
    )


def read_forbidden(states: StateDataset, agent: Agent, scores: Tensor) -> NDArray[np.bool_] | None:
    """Read which targets action masks forbid in every state, (T, K); ``None`` without masks."""
    if not states.policy_inputs([0]).keys() >= {"action_masks"}:
        return None
    return find_forbidden(agent.action_space, scores).numpy()


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an explainer is asked, and in which steps.

    :param everything: whether it explains every target, in place of one
    :param every: it explains the first of every so many steps of an episode, and others
    """

    everything: bool
    every: int


class Cost(NamedTuple):
    """What a state costs that is explained.

    :param everything: whether every target is explained, in place of one
    :param forwards: number of forward passes
    :param n_attributions: number of maps or strips that come of it
    """

    everything: bool
    forwards: int
    n_attributions: int


def plan_explaining(
    explainer: Explainer,
    states: StateDataset,
    target: int | ScalarTarget | None,
    budget: int,
    n_attributions: int,
) -> Plan:
    """Plan what an explainer is asked with about so many forward passes, and for so many maps."""
    cost = count_cost(explainer, states, target)
    strides = (
        choose_stride(cost.forwards, len(states), budget),
        choose_stride(cost.n_attributions, len(states), n_attributions),
    )
    return Plan(cost.everything, max(strides))


def count_cost(
    explainer: Explainer, states: StateDataset, target: int | ScalarTarget | None
) -> Cost:
    """Count what the first state costs, which is explained for it.

    Every target is explained where this takes no more passes than one of them, or few.
    """
    agent = explainer.agent
    of_one = Cost(False, explainer.forwards_per_state, agent.n_stack)
    if target is not None or explainer.own_target is not None:
        return of_one
    before = agent.forwards
    attributed = explainer.attribute_all(states.batch(agent, np.arange(1)))
    of_all = agent.forwards - before
    if of_all > max(of_one.forwards, ALL_TARGETS):
        return of_one
    shown = select_shown(split_keys(attributed), agent, find_image(agent))
    return Cost(True, of_all, shown.shape[1] * (shown.shape[2] if shown.ndim == 5 else 1))


def choose_stride(cost: int, n_steps: int, budget: int) -> int:
    """Return the smallest power of 2 for which the first of so many steps keep to the budget.

    The steps of a larger stride are therefore among those of a smaller one.
    """
    stride = 1
    while cost * n_steps / stride > budget and stride < n_steps:
        stride *= 2
    return stride


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
    positions: NDArray[np.int64],
    taken: Tensor,
    *,
    name: str,
    everything: bool,
    target: int | ScalarTarget | None,
    advance: Any,
) -> Explained:
    """Explain steps of a playback.

    :param states: states of all steps
    :param explainer: the explainer
    :param positions: positions of the states to explain, in order
    :param taken: targets of the actions taken in all states
    :param name: name of the explainer
    :param everything: whether every target is explained, in place of one
    :param target: what is explained; all targets or the action taken when not given
    :param advance: called with the number of states that were explained
    """
    agent = explainer.agent
    image = find_image(agent)
    parts: list[Tensor] = []
    for some in np.array_split(positions, range(CHUNK, len(positions), CHUNK)):
        if everything:
            attributed = explainer.attribute_all(states.batch(agent, some))
        else:
            asked: TargetLike = explainer.own_target if target is None else target
            batch = states.batch(agent, some, taken[some] if asked is None else asked)
            attributed = {
                key: one[:, None] for key, one in explainer.attribute_batch(batch).items()
            }
        shown = select_shown(split_keys(attributed), agent, image)
        if not explainer.gives_masks:  # one range for all targets, so that their maps compare
            shown = normalize(shown)
        parts.append(shown.half().cpu())
        advance(len(some))
    values = torch.cat(parts).numpy()
    numbers: Sequence[int | None] = [target if isinstance(target, int) else None]
    if everything:
        numbers = range(values.shape[1])
    return Explained(
        name=name,
        label=get_explainer_label(name),
        attributions=[StepAttributions(values[:, i], number) for i, number in enumerate(numbers)],
        signed=not explainer.gives_masks and bool((values < 0).any()),
        untrained=frozenset(explainer.unknown_targets),
        positions=positions,
        common=explainer.gives_masks,
    )


def select_shown(by_key: Mapping[str, Tensor], agent: Agent, image: str | None) -> Tensor:
    """Return the attributions that are shown: (B, C, H, W), (B, C, F, H, W) or (B, C, D)."""
    if image is None:
        return torch.stack(
            [
                join_features({key: one[:, target] for key, one in by_key.items()})
                for target in range(next(iter(by_key.values())).shape[1])
            ],
            dim=1,
        )
    attributions = by_key[image]
    batch, targets, _, *size = attributions.shape
    frames = attributions.reshape(batch, targets, agent.n_stack, -1, *size)
    if agent.n_stack == 1 or all(torch.equal(frames[:, :, 0], one) for one in frames.unbind(2)):
        return take_newest_frame(attributions, agent)
    strongest = frames.abs().argmax(dim=3, keepdim=True)
    selected: Tensor = frames.gather(3, strongest).squeeze(3)
    return selected
