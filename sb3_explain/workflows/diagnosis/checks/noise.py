"""Sensitivity to the smallest noise of the observations."""

from __future__ import annotations

import torch

from sb3_explain.envs.spaces import are_images
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, NotLookedError
from sb3_explain.workflows.diagnosis.registry import CHECKS

#: noise in standard deviations of each feature, or of the pixels
SMALL = (0.001, 0.003, 0.01)
#: share of the actions that the largest of these may change
LIMIT = 0.25


@CHECKS.register("noise")
def check_noise(evidence: Evidence) -> Look:
    """Actions that the smallest noise of the observations changes."""
    batch = evidence.batch
    keys = [*evidence.number_keys, *evidence.pictures]
    if not keys:
        raise NotLookedError("categories have no noise")
    generator = torch.Generator().manual_seed(evidence.seed)
    changed = {}
    for size in SMALL:
        rows = dict(batch.by_key)
        for key in keys:
            seen = batch.by_key[key]
            std = seen.std() if are_images(seen) else seen.std(dim=0, keepdim=True)
            draws = torch.randn(seen.shape, generator=generator).to(seen)
            rows[key] = seen + size * std * draws
        with torch.no_grad():
            same = batch.keeps(rows)
        name = f"{size:.1%} of a standard deviation"
        changed[name] = evidence.interval(1 - same.double().numpy(force=True))
    *_, largest = changed.values()
    bars = Bars.of_intervals(
        "Actions that noise of the observations changes", "share of the states", changed,
        limit=LIMIT, beyond=[one.mean > LIMIT for one in changed.values()],
    )  # fmt: skip
    said = (
        f"noise of {SMALL[-1]:.0%} of each feature's standard deviation: it changes "
        f"{largest.mean:.1%} of the actions"
    )
    if not largest.low > LIMIT:
        return Look(said, (), bars)
    finding = Finding(
        "sensitive to noise",
        f"noise of {SMALL[-1]:.0%} of a standard deviation changes what the agent does in many "
        "states",
        "warning", "very likely", largest, "of the actions change",
        "train with noise on the observations, or with a weight decay; check the scale of the "
        "observations",
        bars=bars,
    )  # fmt: skip
    return Look(said, (finding,), bars)
