"""The checks of a diagnosis by name."""

from __future__ import annotations

from collections.abc import Callable

from sb3_explain.common.registry import Registry
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Look

Check = Callable[[Evidence], Look]
#: checks of an agent by name: functions of an ``Evidence`` that return a ``Look``
CHECKS: Registry[Check] = Registry("check", "sb3_explain.workflows.diagnosis.checks")
