"""A study of people: the page that asks them, the analysis of their answers, and its power."""

from sb3_explain.workflows.study.analysis import analyze_study
from sb3_explain.workflows.study.export import export_study
from sb3_explain.workflows.study.power import study_power

__all__ = ["analyze_study", "export_study", "study_power"]
