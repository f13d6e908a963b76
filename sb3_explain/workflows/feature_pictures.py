"""Figures of how much the features of an agent's observation matter, for the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.observations import find_feature_keys, find_image, find_image_keys
from sb3_explain.agents.shown_values import name_features, show_values
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers.base import Explainer
from sb3_explain.report import (
    Importance,
    Picture,
    feature_importance,
    importance_figure,
)
from sb3_explain.report.summary import describe_unchanging, describe_unchanging_squares
from sb3_explain.report.target_attributions import NOTHING
from sb3_explain.report.words import get_explainer_label, join_words
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.coverage import count_unchanging_squares, find_unchanging, is_constant
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.boards import list_explained, name_targets, picture_boards

#: number of states that attributions are averaged over: of agents without images, and with images,
#: whose forward passes take long
IMPORTANCE_STATES, BESIDE_IMAGES = 300, 30
#: number of features that are shown
MAX_FEATURES = 24


def picture_importance(
    states: StateDataset, explainer: Explainer, *, target: TargetLike = None, title: str = ""
) -> dict[str, Picture]:
    """Draw the mean magnitude of each feature's attribution to each target.

    :param states: states to explain
    :param explainer: an explainer that is ready to explain
    :param target: the one target that is explained; all of the explainer's when not given
    :param title: title above each figure
    :return: a figure of the squares of each board, then one of the bars of all other features with
        their intervals, by the name of their files; none of pictures, nor of what the explainer
        leaves out
    """
    agent = explainer.agent
    features = [key for key in find_feature_keys(agent) if key not in explainer.left_out]
    if not features:
        return {}
    sample = states.spread(IMPORTANCE_STATES if find_image(agent) is None else BESIDE_IMAGES)
    by_key = attribute_asked(explainer, states.batch(agent, sample, target), target)
    of_features = {key: by_key[key] for key in features}
    boards = picture_boards(explainer, of_features, target=target, title=title)
    for key, count in count_unchanging_squares(states, agent, sample).items():
        said = f"{boards[key].caption} {describe_unchanging_squares(key, *count)}"
        boards[key] = dataclasses.replace(boards[key], caption=said)
    pictures = {f"importance_{key}".rstrip("_"): board for key, board in boards.items()}
    rest = {key: observed for key, observed in of_features.items() if key not in boards}
    if rest:
        bars = picture_bars(states, sample, explainer, rest, target, title)
        pictures["importance"] = dataclasses.replace(
            bars,
            caption=f"{bars.caption}{describe_pixels(explainer, by_key)}",
            finding=name_beside(explainer, by_key, list(rest), bars.finding),
        )
    return pictures


def describe_pixels(explainer: Explainer, by_key: Mapping[str, Tensor]) -> str:
    """Say how important pixels are beside the bars of features, for each picture it explains.

    :param explainer: the explainer
    :param by_key: (B, C, ...) attributions of every target by key
    """
    said = ""
    for key in find_image_keys(explainer.agent).keys() - set(explainer.left_out):
        strongest = by_key[key].flatten(2).abs().amax(dim=2).mean(dim=0).max()
        said += f" The strongest pixel of {key} has {strongest:.2g} on the same scale."
    return said


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
    return Picture.draw(
        partial(
            importance_figure,
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
        finding=name_strongest(importance, names, explainer, len(sample)),
    )


def name_strongest(
    importance: Importance, names: Sequence[str], explainer: Explainer, n: int
) -> str:
    """Name the two features that matter most on the whole; empty where none does.

    :param importance: importance of all features to all targets
    :param names: names of the features
    :param explainer: the explainer
    :param n: number of states
    """
    strength = np.nan_to_num(importance.mean).mean(axis=0)
    first, *others = np.argsort(-strength, kind="stable")[:2]
    if not strength[first] > 0:
        return ""
    label = get_explainer_label(explainer.name)
    said = f"By {label}, {names[first]} matters most ({strength[first]:.2g} in the mean"
    if others and strength[others[0]] > 0:
        said += f"; then {names[others[0]]}, {strength[others[0]]:.2g}"
    return f"{said}; magnitudes over {n:,} states)."


def name_beside(
    explainer: Explainer, by_key: Mapping[str, Tensor], drawn: Sequence[str], finding: str
) -> str:
    """Say, before the strongest features, how much is on the keys that are not among the bars.

    :param explainer: the explainer
    :param by_key: (B, C, ...) attributions of every target by key
    :param drawn: keys of the bars
    :param finding: what :func:`name_strongest` says of them
    """
    if not finding:
        return finding
    label = get_explainer_label(explainer.name)
    sums = {
        key: float(each.abs().sum())
        for key, each in by_key.items()
        if key not in explainer.left_out
    }
    others = [key for key in sums if key not in drawn]
    if others and (total := sum(sums.values())) > 0:
        share = sum(sums[key] for key in others) / total
        _, _, strongest = finding.partition(f"By {label}, ")
        finding = (
            f"{share:.0%} of what {label} marks is on {join_words(others)}; of the features in "
            f"{join_words(list(drawn))}, {strongest}"
        )
    if explainer.left_out:
        left = join_words(list(explainer.left_out))
        finding = f"{finding.removesuffix('.')}; it does not explain {left}."
    return finding


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
