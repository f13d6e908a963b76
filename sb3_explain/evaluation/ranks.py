"""Ranks of explainers under each metric."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from sb3_explain.common.bootstrap import Interval

if TYPE_CHECKING:
    import pandas as pd


def rank_explainers(
    intervals: Mapping[str, Mapping[str, Interval]], leave_out: Collection[str] = ()
) -> pd.DataFrame:
    """Rank explainers by their means under each metric that has a better direction.

    :param intervals: mean and bounds by explainer and metric
    :param leave_out: explainers without a rank, such as controls
    :return: a row for each explainer and a column for each metric, from 1 for the best; means that
        are equal to six digits share the better rank, and what has no mean has none
    """
    import pandas as pd

    from sb3_explain.common.whole_table import WholeTable

    # with the figures of reports, which take long to import
    from sb3_explain.report.words import get_metric_words

    means = pd.DataFrame(
        {
            # without what rounding leaves, which is not the method's
            name: {metric: float(f"{interval.mean:.6g}") for metric, interval in row.items()}
            for name, row in intervals.items()
            if name not in leave_out
        }
    ).T
    known = {metric: get_metric_words(metric).better for metric in means.columns}
    ranked = {
        metric: means[metric].rank(ascending=better == "down", method="min")
        for metric, better in known.items()
        if better is not None
    }
    return WholeTable(ranked, index=means.index)
