"""Features and pixels that the agent does not react to, or should not react to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.errors import unknown_name
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import (
    Finding,
    Look,
    NotLookedError,
    counted,
    list_first,
)
from sb3_explain.workflows.diagnosis.registry import CHECKS

#: share of the variance of the scores below which an agent is blind to a feature
BLIND = 1e-7
#: share of it from which it depends on one that is irrelevant
DEPENDS = 0.01
#: squares along each side of a picture that are permuted, and the share that may be blind
SQUARES, MANY = 7, 0.25


@CHECKS.register("blindness")
def check_blindness(evidence: Evidence) -> Look:
    """Features and squares of pictures that change, and change nothing that the agent does."""
    effects = dict(measure_features(evidence))
    squares = {key: measure_squares(evidence, key) for key in evidence.pictures}
    findings = []
    blind = [name for name, effect in effects.items() if effect.mean < BLIND]
    bars = draw(effects) if effects else None
    if blind and len(blind) < len(effects):
        findings.append(
            Finding(
                "blind to features",
                f"the agent does the same whatever {list_first(blind)} says, though it changes",
                "fault", "certain", effects[blind[0]],
                f"times the scores' variance is what permuting {blind[0]} does",
                "check that the feature reaches the network (index, key, mask); if it is not "
                "needed, leave it out",
                bars=bars,
            )
        )  # fmt: skip
    said = f"{len(effects)} changing feature(s) permuted between states" if effects else ""
    if effects:
        most = max(effects, key=lambda name: effects[name].mean)
        size = effects[most].mean
        said += f": it reacts most to {most}, by {size:.2g} times the variance of the scores"
    for key, each in squares.items():
        n_blind, n_changing = int((each < BLIND).sum()), int(np.isfinite(each).sum())
        share = n_blind / max(1, n_changing)
        said += f"{'; ' if said else ''}{n_changing} changing squares of "
        said += f"{key or 'the picture'}: blind to {n_blind}"
        if share > MANY and n_blind < n_changing:
            findings.append(
                Finding(
                    "blind to pixels",
                    f"the agent does the same whatever {n_blind} of the changing squares of "
                    f"{key or 'the picture'} show", "warning", "certain",
                    counted(share, len(evidence.positions)),
                    "of the squares that change",
                    "check cropping and masks of the picture on its way to the network",
                    details={"effect by square": each.tolist()},
                )
            )  # fmt: skip
    if not said:
        raise NotLookedError("nothing that it observes changes")
    return Look(said, tuple(findings), bars)


@CHECKS.register("irrelevant")
def check_irrelevant(evidence: Evidence) -> Look:
    """Features that the agent depends on, though the user says that they do not matter."""
    if not evidence.irrelevant:
        raise NotLookedError("no features were named that should not matter (irrelevant=)")
    known = [name for names in evidence.feature_names.values() for name in names]
    for name in evidence.irrelevant:
        if name not in known:
            raise unknown_name("feature", name, known)
    effects = {n: e for n, e in measure_features(evidence) if n in evidence.irrelevant}
    used = [name for name, effect in effects.items() if effect.low > DEPENDS]
    said = f"{len(evidence.irrelevant)} feature(s) that should not matter"
    if not effects:
        return Look(f"{said}: none of them ever changes")
    bars = draw(effects, DEPENDS)
    if not used:
        return Look(f"{said}: it does not depend on them", (), bars)
    finding = Finding(
        "depends on what should not matter",
        f"the agent acts by {', '.join(used)}, which should not matter",
        "fault", "very likely", effects[used[0]],
        f"times the scores' variance is what permuting {used[0]} does",
        "train with it randomized or left out; look for a shortcut in the environment",
        bars=bars,
    )  # fmt: skip
    return Look(said, (finding,), bars)


def measure_features(evidence: Evidence) -> Iterator[tuple[str, Interval]]:
    """Measure what permuting each changing feature between states does to the scores.

    Half the squared change, in units of the scores' variance, is Jansen's estimator of the total
    Sobol index where features are independent; where they go together it may be above 1.
    """
    rng = np.random.default_rng(evidence.seed)
    batch = evidence.batch
    for key, names in evidence.feature_names.items():
        seen = batch.by_key[key]
        columns = seen.reshape(len(seen), -1)
        for i, name in enumerate(names):
            if bool((columns[:, i] == columns[0, i]).all()):
                continue
            changed = columns.clone()
            changed[:, i] = columns[torch.from_numpy(rng.permutation(len(columns))), i]
            rows = {**batch.by_key, key: changed.reshape(seen.shape)}
            yield name, evidence.interval(evidence.measure_change(rows) / 2)


def measure_squares(evidence: Evidence, key: str) -> np.ndarray:
    """(7, 7) the same for squares of a picture; NaN where nothing changes."""
    rng = np.random.default_rng(evidence.seed)
    seen: Tensor = evidence.batch.by_key[key]
    effects = np.full((SQUARES, SQUARES), np.nan)
    edges = [np.linspace(0, size, SQUARES + 1).astype(int) for size in seen.shape[2:]]
    for row in range(SQUARES):
        for column in range(SQUARES):
            place = (
                slice(None), slice(None),
                slice(edges[0][row], edges[0][row + 1]),
                slice(edges[1][column], edges[1][column + 1]),
            )  # fmt: skip
            square = seen[place]
            if not square.numel() or bool((square == square[:1]).all()):
                continue
            changed = seen.clone()
            changed[place] = square[torch.from_numpy(rng.permutation(len(seen)))]
            rows = {**evidence.batch.by_key, key: changed}
            effects[row, column] = evidence.measure_change(rows).mean() / 2
    return effects


def draw(effects: dict[str, Interval], limit: float | None = None) -> Bars:
    """Draw the effects by feature."""
    means = [one.mean for one in effects.values()]
    return Bars.of_intervals(
        "What permuting each feature between states does",
        "change of the scores, in their variance", effects, limit=limit,
        beyond=[mean < BLIND if limit is None else mean > limit for mean in means],
    )  # fmt: skip
