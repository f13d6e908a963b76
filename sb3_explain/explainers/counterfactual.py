"""Counterfactual: which part of an observation has to be removed to change the agent's action?

The most salient regions are removed, each alone and one after the other, and the agent is asked
what it would do without them. A region of an image is a connected group of its most salient pixels;
a region of any other key of an observation is a single feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.action_spaces import group_numbers, log_probabilities
from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.targets.find import find_action
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.notebook import write_facts, write_table
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.feature_names import list_feature_names
from sb3_explain.envs.spaces import SINGLE, Observations, are_images, join_keys
from sb3_explain.explainers.forbidden import describe_forbidden
from sb3_explain.explainers.regions import (
    INPAINT,
    Mask,
    Region,
    find_feature_regions,
    find_image_regions,
    make_filler,
)
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.forward_passes import read_blocks

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


@dataclass(frozen=True)
class Removal:
    """What the agent does when some regions are removed.

    :param regions: numbers of the removed regions, counted from 1
    :param observation: (1, ...) the observation without them, by key, in its own axes
    :param outcome: index of the target that the agent prefers then, in the group of the explained
        target; for a Box action the explained dimension
    :param changed: whether the agent does something else than the target; for a Box action, whether
        the dimension has moved by more than a 20th of its range, as the environment receives it
    :param preference: how much of the target is left, in [0, 1]: its probability (softmax of
        Q-values); for Box actions see :meth:`sb3_explain.StateBatch.preference`
    :param scores: (C,) scores of all targets
    :param probabilities: (C,) probabilities of all targets in their groups; ``None`` for Box
        actions
    :param received: (A,) dimensions of a Box action as the environment receives them, clipped or
        scaled to their ranges; ``None`` for other actions
    """

    regions: tuple[int, ...]
    observation: dict[str, Tensor] = field(repr=False)
    outcome: int
    changed: bool
    preference: float
    scores: Array = field(repr=False)
    probabilities: Array | None = field(repr=False)
    received: Array | None = field(repr=False)


@dataclass(frozen=True, repr=False)
class Counterfactual:
    """The result of :func:`counterfactual`, which ``print`` and notebooks show as a short table.

    :param target_names: names of all C targets
    :param target: index of the target that is explained
    :param instead: index of the target that it is contrasted with, if any
    :param regions: the regions, most salient first
    :param before: what the agent does when nothing is removed
    :param alone: for each region, what the agent does when only this one is removed
    :param together: for each region, what the agent does when it and all before it are removed
    """

    target_names: tuple[str, ...]
    target: int
    instead: int | None
    regions: tuple[Region, ...]
    before: Removal
    alone: tuple[Removal, ...]
    together: tuple[Removal, ...]

    def action(self, removal: Removal) -> str:
        """Name what the agent does after a removal; for a Box action as it is received."""
        name = self.target_names[removal.outcome]
        if removal.received is None:
            return name
        return f"{name} {removal.received[removal.outcome]:+.2f}"

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of a short table of texts, with its heads first.

        The rows are everything, what is left without each region, and without several.
        """
        # with matplotlib's fonts, which take long to import
        from sb3_explain.report.captions import format_probability

        named = self.target_names[self.target]
        heads = ["", "the agent does", f"p({named})"]
        if self.before.probabilities is None:
            heads[2] = f"{named} like before"
        if self.instead is not None:
            heads.append(f"p({self.target_names[self.instead]})")
        rows = [(*heads, "")]
        for removal in (self.before, *self.alone, *self.together[1:]):
            shares = [removal.preference]
            if self.instead is not None and removal.probabilities is not None:
                shares.append(float(removal.probabilities[self.instead]))
            changes = "changes" if removal.changed else ""
            said = (self.action(removal), *map(format_probability, shares), changes)
            rows.append((self.describe(removal), *said))
        return rows

    def describe(self, removal: Removal) -> str:
        """Describe what is removed: ``"without 2 (angle)"`` or ``"without 1 to 3"``."""
        if not removal.regions:
            return "with everything"
        last = removal.regions[-1]
        if len(removal.regions) > 1:
            return f"without 1 to {last}"
        region = self.regions[last - 1]
        return f"without {last} ({' '.join(filter(None, (region.key, region.where())))})"

    def __str__(self) -> str:
        """Write :meth:`rows` in columns."""
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([f"{self._ask()}?", *lines])

    def __repr__(self) -> str:
        """Say in one line what changes the action."""
        changing = [str(r.regions[-1]) for r in self.alone if r.changed]
        without = f"without {', '.join(changing)}" if changing else "without none of them"
        return (
            f"Counterfactual: {self._ask()}? {len(self.regions)} regions; the action changes "
            f"{without} alone (print it for a table)"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        heads, *rows = self.rows()
        return write_facts(f"{self._ask()}?", {}) + write_table(heads, rows)

    def _ask(self) -> str:
        instead = f" and not {self.target_names[self.instead]}" if self.instead is not None else ""
        box = self.before.probabilities is None
        return f"Why {self.action(self.before) if box else self.target_names[self.target]}{instead}"

    def table(self) -> pd.DataFrame:
        """Make a table with one row for each removal: what is removed, and what the agent does.

        ``p(TARGET)`` is the preference for the target; for a target to contrast it with there is a
        column of its probability; ``p(action)`` is the probability of what the agent does. A Box
        action has ``received``, the explained dimension as the environment receives it, and
        ``similarity`` to the action with everything (:attr:`Removal.preference`) in their place.
        """
        from sb3_explain.common.whole_table import WholeTable

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
            }
            if removal.received is not None:
                line["received"] = removal.received[self.target]
                line["similarity"] = removal.preference
            elif removal.probabilities is not None:
                line[f"p({self.target_names[self.target]})"] = removal.preference
                if self.instead is not None:
                    other = f"p({self.target_names[self.instead]})"
                    line[other] = removal.probabilities[self.instead]
                line["p(action)"] = removal.probabilities[removal.outcome]
            lines.append(line)
        return WholeTable(lines)


@check_arguments
def counterfactual(
    agent: Agent | BaseAlgorithm,
    observation: Observations,
    attributions: Observations,
    target: int | str | None = None,
    *,
    instead: int | str | None = None,
    policy_inputs: Mapping[str, Tensor] | None = None,
    baseline: str | Baseline | Mapping[str, str | Baseline] = INPAINT,
    regions: Array | Mapping[str, Array] | None = None,
    share: float = 0.1,
    min_mass: float = 0.02,
    n_regions: int = 6,
) -> Counterfactual:
    """Remove the most salient regions of one state, alone and one after the other.

    >>> from sb3_explain import Occlusion, counterfactual
    >>> image = image_states.observations([7])
    >>> attributions = Occlusion(image_agent).attribute(image)
    >>> found = counterfactual(image_agent, image, attributions)
    >>> found.action(found.before), found.action(found.alone[0]), found.alone[0].changed
    ('right', 'left', True)

    :param agent: the agent that is asked
    :param observation: (1, ...) the state, in the policy's own layout and raw range
    :param attributions: (1, ...) attributions of the target, in the observation's form; with
        ``instead``, the :func:`contrast` of the two targets
    :param target: index or name of the action to explain; the greedy action when not given
    :param instead: index or name of another action, whose probability is reported as well
    :param policy_inputs: ``lstm_states`` of a recurrent agent and ``action_masks``, which stay
        as they are
    :param baseline: what replaces removed pixels and features: ``"inpaint"`` (for images) or a
        baseline; a dict of these where keys need different ones
    :param regions: (H, W) number of the region that each pixel of an image belongs to, 0 for none;
        a dict of such by key where there are several images. When not given, regions are the
        connected groups (8 neighbors) of the highest ``share`` of the pixels, as far as their
        attributions are positive
    :param share: share of an image's pixels that form regions, in (0, 1]
    :param min_mass: regions of an image with less than this share of the greatest region's mass are
        left out, in [0, 1]
    :param n_regions: number of regions, at most; those of the greatest mass are taken
    :raises ExplainError: if there is more than one state, no attribution is above 0, or a baseline
        is missing
    """
    agent = read_agent(agent)
    target = None if target is None else find_action(agent, target)
    instead = None if instead is None else find_action(agent, instead)
    batch = StateBatch(agent, observation, target, policy_inputs)
    if len(batch) != 1:
        raise ExplainError(f"{len(batch)} states: ask for the counterfactual of one at a time")
    if not 0 < share <= 1 or n_regions < 1:
        raise ExplainError(
            f"share={share}, n_regions={n_regions}: give a share in (0, 1], and 1 up"
        )
    if instead is not None and instead == int(batch.target[0]):
        raise ExplainError(
            f"{agent.target_names[instead]} is what is explained: name another target"
        )
    if isinstance(attributions, Tensor) and attributions.numel() != batch.observations.numel():
        raise ExplainError(
            f"attributions of shape {tuple(attributions.shape)} for a state of shape "
            f"{tuple(batch.observations.shape)}: give those of this state alone"
        )
    if not isinstance(attributions, Tensor | np.ndarray | dict):
        raise ExplainError(
            f"attributions={quote(attributions)}: give those of the state, as an explainer's "
            "attribute returns them"
        )
    if isinstance(attributions, dict):
        by_key = agent.layout.arrange(attributions)
    elif SINGLE in batch.by_key:
        whole = attributions.reshape(1, *agent.layout.own_shapes[SINGLE])
        by_key = agent.layout.arrange({SINGLE: whole})
    else:
        by_key = batch.split_keys(attributions)
    if instead is None:  # a contrast is signed whatever the action
        by_key = {name: batch.get_relevance(observed) for name, observed in by_key.items()}
    labels = regions if isinstance(regions, Mapping) else dict.fromkeys(batch.images(), regions)
    areas = [
        region
        for name in batch.images()
        for region in find_image_regions(name, by_key[name][0], share, labels.get(name))
    ]
    greatest = max((region.mass for region in areas), default=0.0)
    found = [region for region in areas if region.mass >= min_mass * greatest]
    for name, observed in batch.by_key.items():
        if not are_images(observed):
            sizes, known = {name: observed[0].numel()}, agent.feature_names
            names = list_feature_names(sizes, known) if name in known else ()
            found += find_feature_regions(name, by_key[name][0], names)
    chosen = sorted(found, key=lambda region: -region.mass)[:n_regions]
    if not chosen:
        raise ExplainError(
            describe_forbidden(batch) or "no attribution is above 0: there is no region to remove"
        )
    fill = {name: make_filler(batch, name, baseline) for name in {r.key for r in chosen}}
    numbers = [(), *((i,) for i in range(1, len(chosen) + 1))]
    numbers += [tuple(range(1, i + 1)) for i in range(1, len(chosen) + 1)]
    removals = list(remove_regions(batch, chosen, numbers, fill))
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
    """Subtract the attributions of another target: why this action and not that one?

    The difference is divided by the greatest magnitude of the attributions and their difference.

    >>> from sb3_explain import contrast
    >>> contrast(torch.tensor([[4.0, 1.0]]), torch.tensor([[0.0, 3.0]]))
    tensor([[ 1.0000, -0.5000]])

    :param attributions: (B, ...) attributions of what the agent does, or a dict of such
    :param instead: (B, ...) attributions of what it could have done, in the same form
    :return: (B, ...) contrast in [-1, 1], in the same form; positive where a feature speaks for the
        one target more than for the other
    """
    ours, theirs = (m if isinstance(m, dict) else {SINGLE: m} for m in (attributions, instead))
    differences = {name: ours[name] - theirs[name] for name in ours}
    everything = (*ours.values(), *theirs.values(), *differences.values())
    peaks = torch.stack(
        [observed.abs().reshape(len(observed), -1).amax(dim=1) for observed in everything]
    ).amax(dim=0)
    peaks = peaks.clamp_min(torch.finfo(torch.float32).tiny)
    return join_keys(
        {n: gap / peaks.reshape(-1, *[1] * (gap.dim() - 1)) for n, gap in differences.items()}
    )


def remove_regions(
    batch: StateBatch,
    regions: list[Region],
    numbers: list[tuple[int, ...]],
    fill: Mapping[str, Callable[[Mask], Tensor]],
) -> Iterator[Removal]:
    """Ask the agent what it does without some regions.

    :param batch: one state
    :param regions: all regions
    :param numbers: for each removal the numbers of the removed regions, counted from 1
    :param fill: functions that remove a part of what stands under a key, by key
    """
    copies = [dict(batch.by_key) for _ in numbers]
    for copy, removed in zip(copies, numbers, strict=True):
        for name, filled in fill.items():
            masks = [regions[i - 1].mask for i in removed if regions[i - 1].key == name]
            if masks:
                copy[name] = filled(np.logical_or.reduce(masks))
    rows = [batch.flatten_keys(copy) for copy in copies]
    space, target, layout = batch.agent.action_space, int(batch.target[0]), batch.agent.layout
    scores = read_blocks(batch.target_scores, rows)[0]
    preferences = read_blocks(batch.preference, rows)[0]
    unchanged = read_blocks(batch.keeps, rows)[0]
    done = torch.full((len(rows),), target)
    probabilities: list[Array | None] = [None] * len(rows)
    received: list[Array | None] = [None] * len(rows)
    if not isinstance(space, spaces.Box):
        groups = group_numbers(space).to(scores.device)
        done = scores.masked_fill(groups != groups[target], -torch.inf).argmax(dim=1)
        probabilities = list(log_probabilities(space, scores).exp().cpu().numpy())
    else:
        received = list(batch.agent.act_on(scores).reshape(len(rows), -1))
    for i, removed in enumerate(numbers):
        yield Removal(
            regions=removed,
            observation={n: layout.restore_key(n, held) for n, held in copies[i].items()},
            outcome=int(done[i]),
            changed=not bool(unchanged[i]),
            preference=float(preferences[i]),
            scores=scores[i].cpu().numpy(),
            probabilities=probabilities[i],
            received=received[i],
        )
