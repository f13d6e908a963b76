"""Pictures, videos, figures and HTML pages of explanations, from plain arrays and dicts."""

from sb3_explain.report.board_figure import board_figure
from sb3_explain.report.captions import Caption
from sb3_explain.report.figures import curve_figure, metric_figure, save
from sb3_explain.report.importance import (
    Importance,
    feature_importance,
    importance_figure,
    rank_correlations,
)
from sb3_explain.report.overlay import lay_over
from sb3_explain.report.page import Picture, write_report
from sb3_explain.report.summary import summarize
from sb3_explain.report.target_attributions import TargetAttributions, target_attributions_figure
from sb3_explain.report.video import write_video
from sb3_explain.report.words import MetricWords

__all__ = [
    "Caption",
    "Importance",
    "MetricWords",
    "Picture",
    "TargetAttributions",
    "board_figure",
    "curve_figure",
    "feature_importance",
    "importance_figure",
    "lay_over",
    "metric_figure",
    "rank_correlations",
    "save",
    "summarize",
    "target_attributions_figure",
    "write_report",
    "write_video",
]
