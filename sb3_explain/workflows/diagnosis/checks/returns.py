"""Whether the agent earns more than random actions."""

from __future__ import annotations

import numpy as np

from sb3_explain.common.bootstrap import confidence_interval
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look
from sb3_explain.workflows.diagnosis.registry import CHECKS


@CHECKS.register("returns")
def check_returns(evidence: Evidence) -> Look:
    """The agent's return against that of random actions."""
    own, randomly = evidence.play(), evidence.play(None)
    number = np.arange(len(own))
    each = [confidence_interval(x, number, seed=evidence.seed) for x in (own, randomly)]
    gain = confidence_interval(own - randomly, number, seed=evidence.seed)
    bars = Bars(
        "Return beside random actions", "mean return", ["the agent", "random actions"],
        [one.mean for one in each], [one.low for one in each], [one.high for one in each],
        beyond=[not gain.low > 0, False],
    )  # fmt: skip
    said = f"{len(own)} episodes: return {each[0].mean:.4g}, {each[1].mean:.4g} of random actions"
    if gain.low > 0:
        return Look(said, (), bars)
    finding = Finding(
        "earns no more than random actions",
        f"the agent earns {each[0].mean:.4g}, random actions {each[1].mean:.4g}",
        "warning", "very likely", gain, "more return than random actions",
        "look at the findings above first; else train longer, or look at the reward",
        bars=bars,
    )  # fmt: skip
    return Look(said, (finding,), bars)
