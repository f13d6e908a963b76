"""What checks of an agent say: findings with their evidence, and what was looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sb3_explain.common.bootstrap import Interval
from sb3_explain.report.diagnosis_figure import Bars

Severity = Literal["fault", "warning"]
#: how sure a finding is: counted in the states that were played, an interval that leaves out the
#: healthy range, or a sign that has other causes at times
Sure = Literal["certain", "very likely", "likely"]

#: bias of a value, in units of the returns' size, from which it does not tell the return
BIAS = 0.6
#: number of names that a sentence lists
NAMED = 4
#: names of the checks, what is a cause more often first: of two findings of equal severity the
#: earlier one is said first
ORDER = (
    "observations",
    "blindness",
    "normalization",
    "frame_order",
    "feature_order",
    "action_order",
    "masks",
    "layers",
    "saturation",
    "exploration",
    "returns",
    "one_action",
    "irrelevant",
    "noise",
    "value",
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong with an agent.

    >>> from sb3_explain import diagnose
    >>> report = diagnose(agent, checks=["one_action"], n_states=40, progress=False)
    >>> [finding.name for finding in report.findings]
    []

    :param name: what is wrong, in a few words that stay the same
    :param said: what is wrong, in one sentence
    :param severity: ``"fault"``: the agent cannot be itself; ``"warning"``: it may be as wished
    :param sure: ``"certain"`` (counted in all states that were looked at), ``"very likely"`` (an
        interval leaves out the healthy range) or ``"likely"`` (the sign has other causes at times)
    :param evidence: the number that it rests on, with its interval
    :param unit: what the number is
    :param next_step: what to do next
    :param check: name of the check
    :param details: further plain data
    :param bars: the evidence as bars
    """

    name: str
    said: str
    severity: Severity
    sure: Sure
    evidence: Interval
    unit: str
    next_step: str
    check: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    bars: Bars | None = None

    @property
    def gravity(self) -> tuple[int, int]:
        """Place among findings, the gravest lowest: faults first, then in the order of checks."""
        return int(self.severity != "fault"), ORDER.index(self.check)

    def describe_evidence(self) -> str:
        """Say the number with its interval.

        >>> from sb3_explain import Finding, Interval
        >>> steady = Interval(1.0, 1.0, 1.0, 200)
        >>> Finding("x", "", "fault", "certain", steady, "of states", "").describe_evidence()
        '1 of states (n = 200)'
        """
        mean, low, high, n = self.evidence
        span = f", 95 % interval {low:.3g} to {high:.3g}" if low < high else ""
        return f"{mean:.3g} {self.unit} (n = {n}{span})"

    def __str__(self) -> str:
        """Return the finding, its evidence and the next step in three lines."""
        return (
            f"{self.severity.upper()}: {self.said} [{self.name}]\n"
            f"  {self.sure}: {self.describe_evidence()}\n"
            f"  next: {self.next_step}"
        )


@dataclasses.dataclass(frozen=True)
class Look:
    """What a check looked at.

    :param said: what was looked at, with the numbers found
    :param findings: what is wrong
    :param bars: the numbers as bars, whether or not anything is wrong
    """

    said: str
    findings: tuple[Finding, ...] = ()
    bars: Bars | None = None


def counted(number: float, n: int) -> Interval:
    """Return the evidence of what was counted: a number of n states, with no doubt about it.

    :param number: the number, such as the share of the states
    :param n: number of states
    """
    return Interval(number, number, number, n)


def list_first(names: Sequence[str]) -> str:
    """Join the first four names, and say how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


class NotLookedError(Exception):
    """A check does not apply: its message says why."""
