"""Counterfactual: which part of an observation has to go for the agent to do something else?

The most salient regions of a map are removed, each alone and one after the other, and the agent is
asked what it would do without them. A region of an image is a connected group of its most salient
pixels; of any other key of an observation, a single feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.action_spaces import group_numbers, log_probabilities
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import SINGLE, Observations, are_images, join_keys
from sb3_explain.explainers.regions import (
    INPAINT,
    Mask,
    Region,
    feature_regions,
    filler,
    image_regions,
)
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


@dataclass(frozen=True)
class Removal:
    """What the agent does without some regions.

    :param regions: numbers of what is removed, counted from 1
    :param observation: (1, ...) what the agent sees then, by key
    :param outcome: index of what it does in the target's group; of a Box action the target
        dimension
    :param changed: whether that is no longer the target; of a Box action, whether the dimension has
        moved by more than a 20th of its range
    :param preference: in [0, 1], how much of the target is left: its probability (softmax of
        Q-values); for Box actions see :meth:`sb3_explain.states.batch.StateBatch.preference`
    :param scores: (C,) of all targets
    :param probabilities: (C,) of all targets in their groups; none for Box actions
    """

    regions: tuple[int, ...]
    observation: dict[str, Tensor]
    outcome: int
    changed: bool
    preference: float
    scores: Array
    probabilities: Array | None


@dataclass(frozen=True)
class Counterfactual:
    """The outcome of :func:`counterfactual`.

    :param target_names: C names
    :param target: index of the target that is explained
    :param instead: index of the target that it is contrasted with, if any
    :param regions: the most salient first
    :param before: nothing is removed
    :param alone: one region is removed, for each
    :param together: it and all before it are removed, for each
    """

    target_names: tuple[str, ...]
    target: int
    instead: int | None
    regions: tuple[Region, ...]
    before: Removal
    alone: tuple[Removal, ...]
    together: tuple[Removal, ...]

    def action(self, removal: Removal) -> str:
        """What the agent does, in words; of a Box action the dimension and its value."""
        name = self.target_names[removal.outcome]
        return name if removal.probabilities is not None else (
            f"{name} {removal.scores[removal.outcome]:+.2f}"
        )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """A line for each removal, in order: what is removed, and what the agent does then.

        ``p(...)`` is the preference for the target and, where there is another target to contrast
        it with, the probability of that; ``p(action)`` the probability of what is done.
        """
        import pandas as pd

        lines = []
        names = ["nothing", *(["alone"] * len(self.alone)), *(["together"] * len(self.together))]
        removals = (self.before, *self.alone, *self.together)
        for how, removal in zip(names, removals, strict=True):
            region = self.regions[removal.regions[-1] - 1] if removal.regions else None
            line = {
                "removed": how,
                "regions": ", ".join(map(str, removal.regions)),
                "key": region.key if region else "",
                "where": region.where() if region else "",
                "mass": region.mass if region else np.nan,
                "action": self.action(removal),
                "changed": removal.changed,
                f"p({self.target_names[self.target]})": removal.preference,
            }
            if removal.probabilities is not None:
                if self.instead is not None:
                    other = f"p({self.target_names[self.instead]})"
                    line[other] = removal.probabilities[self.instead]
                line["p(action)"] = removal.probabilities[removal.outcome]
            lines.append(line)
        return pd.DataFrame(lines)


@check_arguments
def counterfactual(
    agent: Agent,
    observation: Observations,
    attributions: Observations,
    target: int | None = None,
    *,
    instead: int | None = None,
    policy_inputs: Mapping[str, Tensor] | None = None,
    baseline: str | Baseline | Mapping[str, str | Baseline] = INPAINT,
    regions: Array | Mapping[str, Array] | None = None,
    share: float = 0.1,
    least: float = 0.02,
    n_regions: int = 6,
) -> Counterfactual:
    """Remove the most salient regions of one state, alone and one after the other.

    :param agent: who is asked
    :param observation: (1, ...) the state, in the policy's own layout and raw range
    :param attributions: (1, ...) of the target, of the observation's form; with ``instead``,
        :func:`contrast` of the two
    :param target: index of the target to explain; the greedy action when not given
    :param instead: index of another target, whose probability is followed as well
    :param policy_inputs: ``lstm_states`` and ``action_masks``, which stay
    :param baseline: what removed cells become: ``"inpaint"``, for images, or a baseline; by key
        where keys need different ones
    :param regions: (H, W) numbers of the regions that the pixels of an image belong to, 0 for none,
        by key where there are several; the connected groups (8 neighbours) of the highest
        ``share`` of its pixels, those of positive attribution, when not given
    :param share: of an image's pixels, in (0, 1]
    :param least: regions of an image with a smaller share of the greatest one's mass are specks,
        and left out
    :param n_regions: so many regions at most, those of the greatest mass
    :raises ExplainError: if there is more than one state, the map points at nothing, or a baseline
        is missing
    """
    batch = StateBatch(agent, observation, target, policy_inputs)
    if len(batch) != 1:
        raise ExplainError(f"{len(batch)} states: ask for the counterfactual of one at a time")
    if not 0 < share <= 1 or n_regions < 1:
        raise ExplainError(
            f"share={share}, n_regions={n_regions}: give a share in (0, 1], and 1 up"
        )
    if instead is not None and not 0 <= instead < agent.n_targets:
        raise ExplainError(f"{instead} is no target: it has {', '.join(agent.target_names)}")
    if instead == int(batch.target[0]):
        raise ExplainError(
            f"{agent.target_names[instead]} is what is explained: name another target"
        )
    by_key = attributions if isinstance(attributions, dict) else batch.unflat(attributions)
    if instead is None:  # a contrast is signed whatever the action
        by_key = {name: batch.support(observed) for name, observed in by_key.items()}
    labels = regions if isinstance(regions, Mapping) else dict.fromkeys(batch.images(), regions)
    areas = [
        region
        for name in batch.images()
        for region in image_regions(name, by_key[name][0], share, labels.get(name))
    ]
    greatest = max((region.mass for region in areas), default=0.0)
    found = [region for region in areas if region.mass >= least * greatest]
    for name, observed in batch.by_key.items():
        if not are_images(observed):
            found += feature_regions(name, by_key[name][0])
    chosen = sorted(found, key=lambda region: -region.mass)[:n_regions]
    if not chosen:
        raise ExplainError("the map points at nothing: there is no region to remove")
    fill = {name: filler(batch, name, baseline) for name in {r.key for r in chosen}}
    numbers = [(), *((i,) for i in range(1, len(chosen) + 1))]
    numbers += [tuple(range(1, i + 1)) for i in range(1, len(chosen) + 1)]
    removals = list(outcomes(batch, chosen, numbers, fill))
    return Counterfactual(
        target_names=agent.target_names,
        target=int(batch.target[0]),
        instead=instead,
        regions=tuple(chosen),
        before=removals[0],
        alone=tuple(removals[1 : len(chosen) + 1]),
        together=tuple(removals[len(chosen) + 1 :]),
    )


def contrast(attributions: Observations, instead: Observations) -> Any:
    """Why this and not that: the difference of two targets' maps, over the greatest magnitude.

    :param attributions: (B, ...) of what is done, or a dict of such
    :param instead: of what could have been done
    :return: in [-1, 1], of the maps' form; positive where a cell speaks for the one and not for the
        other
    """
    ours, theirs = (m if isinstance(m, dict) else {SINGLE: m} for m in (attributions, instead))
    differences = {name: ours[name] - theirs[name] for name in ours}
    everything = (*ours.values(), *theirs.values(), *differences.values())
    peaks = torch.stack([observed.abs().flatten(1).amax(dim=1) for observed in everything]).amax(
        dim=0
    )
    peaks = peaks.clamp_min(torch.finfo(torch.float32).tiny)
    return join_keys(
        {n: gap / peaks.reshape(-1, *[1] * (gap.dim() - 1)) for n, gap in differences.items()}
    )


def outcomes(
    batch: StateBatch,
    regions: list[Region],
    numbers: list[tuple[int, ...]],
    fill: Mapping[str, Callable[[Mask], Tensor]],
) -> Iterator[Removal]:
    """What the agent does without some regions, for each tuple of their numbers."""
    copies = [dict(batch.by_key) for _ in numbers]
    for copy, removed in zip(copies, numbers, strict=True):
        for name, filled in fill.items():
            cells = [regions[i - 1].cells for i in removed if regions[i - 1].key == name]
            if cells:
                copy[name] = filled(np.logical_or.reduce(cells))
    rows = [batch.flat(copy) for copy in copies]
    space, target = batch.agent.action_space, int(batch.target[0])
    scores = read_blocks(batch.target_scores, rows)[0]
    preferences = read_blocks(batch.preference, rows)[0]
    kept = read_blocks(batch.keeps, rows)[0]
    done = torch.full((len(rows),), target)
    probabilities: list[Array | None] = [None] * len(rows)
    if not isinstance(space, spaces.Box):
        groups = group_numbers(space).to(scores.device)
        done = scores.masked_fill(groups != groups[target], -torch.inf).argmax(dim=1)
        probabilities = list(log_probabilities(space, scores).exp().cpu().numpy())
    for i, removed in enumerate(numbers):
        yield Removal(
            regions=removed,
            observation=copies[i],
            outcome=int(done[i]),
            changed=not bool(kept[i]),
            preference=float(preferences[i]),
            scores=scores[i].cpu().numpy(),
            probabilities=probabilities[i],
        )
