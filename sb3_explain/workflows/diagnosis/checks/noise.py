"""Sensitivity to the smallest noise of the observations."""

from __future__ import annotations

import torch

from sb3_explain.envs.spaces import are_images
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import CHECKS, Finding, Look

#: noise in standard deviations of each feature, or of the pixels
SMALL = (0.001, 0.003, 0.01)
#: share of the actions that the largest of these may change
LIMIT = 0.25


@CHECKS.register("noise")
def check_noise(evidence: Evidence) -> Look:
    """Actions that the smallest noise of the observations changes."""
    batch = evidence.batch
    generator = torch.Generator().manual_seed(evidence.seed)
    changed = []
    for size in SMALL:
        rows = {}
        for key, seen in batch.by_key.items():
            std = seen.std() if are_images(seen) else seen.std(dim=0, keepdim=True)
            draws = torch.randn(seen.shape, generator=generator).to(seen)
            rows[key] = seen if batch.by_key[key].dim() == 1 else seen + size * std * draws
        with torch.no_grad():
            kept = batch.keeps(rows)
        changed.append(evidence.interval(1 - kept.double().numpy(force=True)))
    bars = Bars(
        "Actions that noise changes", "share of the states",
        [f"noise of {size:.1%} of a standard deviation" for size in SMALL],
        [one.mean for one in changed], [one.low for one in changed], [one.high for one in changed],
        limit=LIMIT, beyond=[one.mean > LIMIT for one in changed],
    )  # fmt: skip
    said = (
        f"noise of {SMALL[-1]:.0%} of each feature's standard deviation: it changes "
        f"{changed[-1].mean:.1%} of the actions"
    )
    if not changed[-1].low > LIMIT:
        return Look(said, (), bars)
    finding = Finding(
        "sensitive to noise",
        f"noise of {SMALL[-1]:.0%} of a standard deviation changes what the agent does in many "
        "states",
        "warning", "very likely", changed[-1], "of the actions change",
        "train with noise on the observations, or with a weight decay; check the scale of the "
        "observations",
        bars=bars,
    )  # fmt: skip
    return Look(said, (finding,), bars)
