"""Pictures and sentences about synthesised states, for the page of weaknesses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.action_spaces import greedy_targets, target_scores
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.agents.targets.energies import TARGETS, spell_kind
from sb3_explain.agents.targets.find import find_target
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.forbidden import list_all_forbidden
from sb3_explain.probing import StateGenerator
from sb3_explain.probing.distance import DIFFERS, PAPER, measure_difference
from sb3_explain.probing.generator import SAMPLE
from sb3_explain.probing.goggle_returns import Goggles
from sb3_explain.probing.search import Probe, select
from sb3_explain.report import Picture
from sb3_explain.report.captions import format_probability
from sb3_explain.report.contact_sheet import Tile, contact_sheet, picture_rows
from sb3_explain.report.feature_table import make_feature_rows
from sb3_explain.report.overlay import to_rgb
from sb3_explain.report.probe_page import Probed
from sb3_explain.report.probing_figures import novelty_figure
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import (
    compute_shares,
    name_greedy_actions,
    name_measure,
    take_newest_frame,
)

#: number of states on a contact sheet, and of states whose reconstructions are shown
SHOWN, REDRAWN = 12, 8


def show_target(
    generator: StateGenerator, result: Probe, train: StateDataset, explainer: Explainer | None
) -> Probed:
    """Make the page's section about one target.

    :param generator: the generator of the states
    :param result: the outcome of the search
    :param train: states that the generator learned from
    :param explainer: explainer whose attributions are shown, if any
    """
    agent = generator.agent
    n = int(result.counts.sum())
    batch = StateBatch(agent, result.states)
    did = name_greedy_actions(agent, result.scores)
    weights: dict[str, int] = {}
    for name, count in zip(did, result.counts, strict=True):
        weights[name] = weights.get(name, 0) + int(count)
    often = sorted(weights.items(), key=lambda item: -item[1])[:2]
    assert result.nearest is not None
    neighbors: Any = agent.tensor(train.observations(result.nearest.positions))
    differing = measure_difference(generator, result.states, neighbors).cpu().numpy()
    figures = {
        "states": str(len(result.counts)),
        "the agent does": ", ".join(
            f"{name} {format_probability(count / n)}" for name, count in often
        ),
    }
    if np.isfinite(result.values.numpy()).all():
        usual = train.column("values")
        value = float(np.average(result.values.numpy(), weights=result.counts))
        figures["value"] = f"{value:.3g}"
        figures["values of played states"] = "{:.3g} to {:.3g}".format(
            *np.quantile(usual, [0.05, 0.95])
        )
    parts = "features" if find_image(agent) is None else "pixels"
    figures[f"{parts} unlike the nearest played state"] = format_probability(
        float(np.median(differing))
    )
    finds, action = describe_search(agent, result.target)
    remark = ""
    if action is not None and not isinstance(agent.action_space, spaces.Box):
        best = greedy_targets(agent.action_space, target_scores(agent.action_space, result.scores))
        if 2 * result.counts[best[:, action].numpy()].sum() < n:
            name = agent.target_names[action]
            remark = f"In most states that were found for {name} it does something else."
    names, features = [], []
    if find_image(agent) is None:
        names = name_features(agent, {key: one[0].numel() for key, one in batch.by_key.items()})
        usual_states = train.batch(agent, train.spread(SAMPLE)).by_key
        played, found = (show_values(agent, one).numpy() for one in (usual_states, batch.by_key))
        features = make_feature_rows(names, played, found, result.counts)
    shown = make_tiles(batch, result, did, train, explainer)
    sheet = contact_sheet(
        shown,
        agent.target_names,
        title=f"{result.target}: the best {len(shown)} of {len(result.counts)} states",
        measure=name_measure(agent),
        features=names,
    )
    merged = f" {result.n_merged} of {n} samples were duplicates." if result.n_merged else ""
    attributions = (
        " On the right, what the agent's action depends on." if explainer is not None else ""
    )
    caption = f"States found for {result.target}, the best first.{attributions}{merged}"
    alt = f"contact sheet of {len(shown)} states found for {result.target}"
    return Probed(result.target, finds, figures, Picture(sheet, caption, alt), remark, features)


def describe_search(agent: Agent, target: str) -> tuple[str, int | None]:
    """Say what a search looks for, and which action it is about, if it is about one.

    :param agent: the agent whose states are searched for
    :param target: name of the target, see :func:`~sb3_explain.agents.targets.find.find_energy`
    """
    name, _, about = spell_kind(target).partition(":")
    found = agent.find_target(about) if name in TARGETS and about else None
    if name not in TARGETS:
        other = find_target(agent, target)
        if isinstance(other, ScalarTarget):
            return f"{target} is high.", None
        name, found = "action", other
    return (TARGETS[name].__doc__ or "").strip().partition("\n")[0], found


def make_tiles(
    batch: StateBatch,
    result: Probe,
    did: Sequence[str],
    train: StateDataset,
    explainer: Explainer | None,
) -> list[Tile]:
    """Make the tiles of a contact sheet: the best states, with the agent's outputs."""
    agent = batch.agent
    name, n = find_image(agent), min(SHOWN, len(did))
    probabilities = compute_shares(agent, result.scores[:n]).numpy()
    attributions = pictures = rows = values = None
    if name is not None:
        pictures = draw_frames(agent, batch.by_key[name][:n], name)
        if explainer is not None:
            few = StateBatch(agent, select(result.states, torch.arange(n)))
            explained = explainer.attribute_batch(few)[name]
            attributions = take_newest_frame(explained, agent).cpu().numpy()
    else:
        rows = standardize_features(agent, batch.observations.flatten(1)[:n], train)
        values = show_values(agent, batch.by_key).numpy()
    forbidden = list_all_forbidden(agent.action_space, result.scores[:n])
    tiles = []
    for i in range(n):
        value = float(result.values[i])
        remarks = [] if math.isnan(value) else [f"value {value:.3g}"]
        if result.counts[i] > 1:
            remarks.append(f"{result.counts[i]} samples")
        tiles.append(
            Tile(
                probabilities=probabilities[i],
                action=did[i],
                remark=", ".join(remarks),
                picture=None if pictures is None else pictures[i],
                attribution=None if attributions is None else attributions[i],
                features=None if rows is None else rows[i].cpu().numpy(),
                values=None if values is None else values[i],
                forbidden=forbidden[i],
            )
        )
    return tiles


def standardize_features(agent: Agent, rows: Tensor, train: StateDataset) -> Tensor:
    """Return features (B, M) in standard deviations from the mean of the training states."""
    seen = train.batch(agent, train.spread(SAMPLE)).observations.flatten(1)
    std = seen.std(dim=0)
    return (rows - seen.mean(dim=0)) / torch.where(std > 0, std, 1.0)


def draw_frames(agent: Agent, images: Tensor, name: str) -> Any:
    """Draw the newest frames of an image key (B, F * C, h, w), as (B, h, w, 3) uint8."""
    n_channels = images.shape[1] // agent.n_stack
    newest = images[:, -n_channels:].detach().cpu().float()
    space = spaces_by_key(agent.observation_space)[name]
    low, high = float(np.min(space.low)), float(np.max(space.high))  # type: ignore[attr-defined]
    if not math.isfinite(high - low):
        low, high = float(newest.min()), float(newest.max())
    return to_rgb(newest.numpy(), low, high)


def show_quality(
    generator: StateGenerator,
    test: StateDataset,
    agreement: float,
    new: Mapping[float, float],
) -> list[Picture]:
    """Draw figures of the generator's quality.

    :param generator: a fitted generator
    :param test: states that it has not learned from
    :param agreement: share of the test states on whose reconstruction the agent acts as before
    :param new: what :func:`sb3_explain.novelty` returned
    """
    agent, pictures = generator.agent, []
    name = find_image(agent)
    parts = "features" if name is None else "pixels"
    if name is not None:
        batch = test.batch(agent, test.spread(REDRAWN))
        redrawn = generator.reconstruct_batch(batch)[name]
        weights = generator.weights(batch)[name].expand_as(redrawn)
        rows = {
            "state": draw_frames(agent, batch.by_key[name], name),
            "redrawn": draw_frames(agent, redrawn, name),
            "weighting": draw_weights(take_newest_frame(weights, agent)),
        }
        pictures.append(
            Picture(
                picture_rows(rows, title="Unseen states, and how the generator draws them"),
                f"The agent does the same on {format_probability(agreement)} of the redrawn states "
                f"of {len(test)} that the generator has not seen. White: where the weighting asks "
                "for precision.",
                "states, their reconstructions and the weighting",
            )
        )
    shares: dict[str, Mapping[float, float]] = {"256 random states": new}
    compared = (
        f"A feature differs by more than {DIFFERS:g} of its range or, without bounds, of its "
        "standard deviation."
    )
    if name is not None:
        shares["paper (driving)"] = PAPER
        compared = (
            "The game decides how many can differ at all: the paper's figures are of its driving "
            "simulator."
        )
    pictures.append(
        Picture(
            novelty_figure(shares, parts=parts),
            "How many of the generator's random states differ from their nearest training state in "
            f"more than a given share of the {parts}. {compared}",
            f"share of new states by the share of {parts} that differ",
        )
    )
    return pictures


def draw_weights(weights: Tensor) -> Any:
    """Draw weights (B, h, w) as (B, h, w, 3) uint8: white is ten times the mean or more."""
    levels = (weights.cpu().float() / 10 * 255).clamp(0, 255).byte()
    return levels[..., None].expand(-1, -1, -1, 3).contiguous().numpy()


def write_sentences(agreement: float, played: Goggles | None, found: Sequence[Probed]) -> list[str]:
    """Write the summary at the top of the page."""
    trust = (
        "so that what is shown is mostly what it would do"
        if agreement >= 0.9
        else ("so that what is shown has to be read with care")
    )
    kinds = "1 kind of states was" if len(found) == 1 else f"{len(found)} kinds of states were"
    sentences = [
        f"{kinds} searched for in a generator of the agent's own states. "
        f"The agent does the same on {format_probability(agreement)} of its reconstructions of "
        f"unseen states, {trust}."
    ]
    if played is not None:
        own, through, at_random = (
            played.intervals[k].mean for k in ("agent", "generator", "random")
        )
        sentences.append(
            f"Playing on reconstructions alone it earns {through:.3g}, where it earns {own:.3g} "
            f"itself and random play {at_random:.3g}."
        )
    return sentences + [row.remark for row in found if row.remark]
