"""Diagnosis: what is wrong with an agent, from what it sees, what it does and what it earns."""

from sb3_explain.workflows.diagnosis.diagnose import Diagnosis, diagnose
from sb3_explain.workflows.diagnosis.findings import Finding
from sb3_explain.workflows.diagnosis.registry import CHECKS

__all__ = ["CHECKS", "Diagnosis", "Finding", "diagnose"]
