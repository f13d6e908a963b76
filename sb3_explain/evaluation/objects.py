"""How much of a map lies on each object, and whether these are the objects that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.playfields import find_game
from sb3_explain.evaluation.boxes import rasterize_boxes
from sb3_explain.evaluation.metrics.relevance_mass import relevance_mass
from sb3_explain.evaluation.object_states import SCREEN, ObjectStates, Player
from sb3_explain.explainers.base import Explainer
from sb3_explain.states.batch import StateBatch

Array = NDArray[np.float64]

#: bytes of RAM that take an object out of Pong, and what is written there before each frame
REMOVALS: dict[str, dict[str, dict[int, int]]] = {
    "Pong": {"Ball": {54: 0, 58: 0}, "Enemy": {50: 0, 21: 0}, "Player": {60: 255}}
}


@dataclass(frozen=True)
class ObjectAttention:
    """How much of each map lies on the objects of a category.

    >>> from sb3_explain import ObjectAttention
    >>> print(ObjectAttention({"Ball": np.array([0.02])}, {"Ball": np.array([4.0])}))
    object             share  over area
    Ball                2.0%       4.0x

    :param shares: (n,) share of the map's mass in the boxes, in [0, 1], by category; NaN in
        states without such an object
    :param ratios: (n,) that share over the boxes' share of the area: 1 for a map that prefers
        nothing
    """

    shares: dict[str, Array]
    ratios: dict[str, Array]

    def __str__(self) -> str:
        lines = [f"{'object':16}{'share':>8}{'over area':>11}"]
        for category, shares in self.shares.items():
            ratio = np.nanmean(self.ratios[category])
            lines.append(f"{category:16}{np.nanmean(shares):>8.1%}{ratio:>10.1f}x")
        return "\n".join(lines)


def mark_objects(states: ObjectStates, category: str) -> Tensor:
    """(n, C, H, W) where the objects of a category are, in each frame of the stacks."""
    channels, height, width = states.observations.shape[1:]
    marked = [
        [
            rasterize_boxes(
                [each.box for each in frame if each.category == category], SCREEN, (height, width)
            )
            for frame in state
        ]
        for state in states.objects
    ]
    boxes = torch.from_numpy(np.array(marked))
    return boxes.repeat_interleave(channels // boxes.shape[1], dim=1)


@check_arguments
def object_attention(explainer: Explainer, states: ObjectStates) -> ObjectAttention:
    """Measure how much of an explainer's maps lies on the objects of each category.

    The boxes are those of each frame of the stack, in the pixels of the observation.

    >>> from sb3_explain import Gradient, collect_objects, demo_agent, object_attention
    >>> agent = demo_agent()
    >>> states = collect_objects(agent, n_states=2, every=20)
    >>> sorted(object_attention(Gradient(agent), states).ratios)
    ['Ball', 'Enemy', 'Player']

    :param explainer: an explainer that is ready to explain
    :param states: states with objects, of :func:`sb3_explain.collect_objects`
    """
    batch = StateBatch(explainer.agent, explainer.agent.tensor(states.observations))
    attributions = batch.flatten_keys(explainer.attribute_batch(batch))
    shares, ratios = {}, {}
    for category in states.list_categories():
        boxes = mark_objects(states, category).to(batch.device)
        area = boxes.double().mean(dim=(1, 2, 3))
        ratio = relevance_mass(batch, attributions, boxes)
        shares[category] = (ratio * area).cpu().numpy()
        ratios[category] = ratio.cpu().numpy()
    return ObjectAttention(shares, ratios)


def remove_from_picture(states: ObjectStates, category: str) -> Tensor:
    """(n, C, H, W) observations in which the background stands in place of some objects."""
    background = torch.as_tensor(states.background).to(states.observations.dtype)
    return torch.where(mark_objects(states, category), background, states.observations)


def change_policy(states: ObjectStates, categories: Sequence[str]) -> Array:
    """(n, K) total variation of the policy, in [0, 1], where each category leaves the picture."""
    agent = states.player.agent

    def read(observations: Tensor) -> Array:
        scores = agent.scores(agent.tensor(observations))
        return agent.probabilities_of(scores).double().cpu().numpy()

    before = read(states.observations)
    after = [read(remove_from_picture(states, name)) for name in categories]
    return np.stack([abs(each - before).sum(axis=1) / 2 for each in after], axis=1)


def play_on(player: Player, snapshot: Any, n_steps: int, written: Mapping[int, int]) -> float:
    """Return of a greedy continuation, with some bytes of RAM written before each frame."""
    player.restore(snapshot)
    player.keeper.written = written
    total = 0.0
    for _ in range(n_steps):
        scores = player.agent.scores(player.agent.tensor(player.observe()))
        reward, over = player.step(int(player.agent.act_on(scores)[0]))
        total += reward
        if over:
            break
    player.keeper.written = {}
    return total


def find_removals(states: ObjectStates) -> Mapping[str, Mapping[int, int]] | None:
    """Find the bytes that take each object of some states out of the game; ``None`` if unknown."""
    game = find_game(states.player.env_id)
    known = REMOVALS.get(game or "", {})
    return known if known and set(states.list_categories()) <= known.keys() else None


def change_return(states: ObjectStates, categories: Sequence[str], n_steps: int) -> Array:
    """(n, K) how far the return of a continuation changes where each category leaves the game.

    :raises ExplainError: if it is not known how this game loses such an object
    """
    known = find_removals(states)
    if known is None:
        name, games = states.player.env_id, ", ".join(REMOVALS)
        raise ExplainError(
            f"{name}: only {games} can be played without an object; n_steps=0 measures the picture"
        )
    changes = []
    for snapshot in states.snapshots:
        own = play_on(states.player, snapshot, n_steps, {})
        removed = [known[category] for category in categories]
        changes.append([play_on(states.player, snapshot, n_steps, each) - own for each in removed])
    return np.abs(changes)


@check_arguments
def object_agreement(
    explainers: Mapping[str, Explainer], states: ObjectStates, *, n_steps: int = 60, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    """Measure whether maps point at the objects whose removal changes most.

    Each object is taken out of the picture, where the background stands in its place, which
    changes the policy; and out of the game, where bytes of RAM are written, which changes the
    return of ``n_steps`` steps. The agreement is Spearman's rank correlation, over objects and
    states, of either change with the share of the map on the object, with a 95 % interval by the
    bootstrap over states.

    >>> from sb3_explain import Gradient, collect_objects, demo_agent, object_agreement
    >>> agent = demo_agent()
    >>> states = collect_objects(agent, n_states=2, every=15)
    >>> found = object_agreement({"gradient": Gradient(agent)}, states, n_steps=2)
    >>> list(found["gradient"])
    ['picture', 'game']

    :param explainers: explainers by name
    :param states: states with objects, of :func:`sb3_explain.collect_objects`
    :param n_steps: number of steps of a continuation; with 0 the game is not played on
    :param seed: random seed of the bootstrap
    :return: by explainer, the correlation with the change of the policy (``"picture"``) and of the
        return (``"game"``); NaN where nothing changes
    :raises ExplainError: for another game than Pong
    """
    categories = states.list_categories()
    require_whole("n_steps", n_steps, 0)
    effects = {"picture": change_policy(states, categories)}
    if n_steps:
        effects["game"] = change_return(states, categories, n_steps)
    agreement = {}
    for name, explainer in explainers.items():
        shares = object_attention(explainer, states).shares
        claims = np.stack([shares[category] for category in categories], axis=1)
        agreement[name] = {
            kind: correlate(claims, effect, seed) for kind, effect in effects.items()
        }
    return agreement


def correlate(claims: Array, effects: Array, seed: int, n_resamples: int = 1000) -> Interval:
    """Spearman's correlation of (n, K) claims with effects, with an interval over the n states."""
    from scipy import stats

    def rank(rows: Any) -> float:
        claim, effect = claims[rows].ravel(), effects[rows].ravel()
        known = ~np.isnan(claim)
        claim, effect = claim[known], effect[known]
        if len(claim) < 2 or np.ptp(claim) == 0 or np.ptp(effect) == 0:
            return np.nan
        return float(np.corrcoef(stats.rankdata(claim), stats.rankdata(effect))[0, 1])

    n = len(claims)
    rng = np.random.default_rng(seed)
    drawn = [rank(rng.integers(n, size=n)) for _ in range(n_resamples)]
    known = [each for each in drawn if not np.isnan(each)]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (np.nan, np.nan)
    return Interval(rank(slice(None)), float(low), float(high), n)
