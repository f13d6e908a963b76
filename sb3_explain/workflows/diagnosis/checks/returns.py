"""Whether the agent earns more than random actions."""

from __future__ import annotations

from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look
from sb3_explain.workflows.diagnosis.registry import CHECKS


@CHECKS.register("returns")
def check_returns(evidence: Evidence) -> Look:
    """The agent's return against that of random actions."""
    own, randomly = evidence.play(), evidence.play(None)
    gain = evidence.interval_of_returns(own - randomly)
    played = {"the agent": own, "random actions": randomly}
    each = {name: evidence.interval_of_returns(returns) for name, returns in played.items()}
    bars = Bars.of_intervals(
        "Return beside random actions", "mean return", each,
        beyond=[not gain.low > 0, False],
    )  # fmt: skip
    mean, of_random = (one.mean for one in each.values())
    said = f"{len(own)} episodes: return {mean:.4g}, {of_random:.4g} of random actions"
    if gain.low > 0:
        return Look(said, (), bars)
    finding = Finding(
        "earns no more than random actions",
        f"the agent earns {mean:.4g}, random actions {of_random:.4g}: it has not learned this "
        "task, or not enough, unless a fault keeps it from what it learned",
        "fault", "very likely", gain, "is its return less that of random actions",
        "mend faults that are said before this one; if there are none, train longer, and look at "
        "the reward and the learning curve",
        bars=bars,
    )  # fmt: skip
    return Look(said, (finding,), bars)
