"""The tables of a study's page of results."""

from __future__ import annotations

from sb3_explain.report.study.results_page import (
    ResultTable,
    show_number,
    show_range,
    show_share,
)
from sb3_explain.report.words import get_explainer_label
from sb3_explain.workflows.study.results import StudyMeasures

#: names of the outcomes
OUTCOMES = {
    "before": "next action, before",
    "after": "next action, after",
    "gain": "next action, gain",
    "region": "region that decides",
    "agent": "which agent acts",
    "opinion": "said to help",
    "confidence": "confidence, rise",
}


def list_tables(results: StudyMeasures) -> list[ResultTable]:
    """List the tables of the page.

    :param results: results of a study
    """
    return [_table_means(results), *_table_comparisons(results), _table_changes(results),
            _table_agreement(results)]  # fmt: skip


def _table_means(results: StudyMeasures) -> ResultTable:
    rows = [
        [
            f"{OUTCOMES[row['outcome']]}: {get_explainer_label(row['arm'])}",
            show_share(row["mean"]),
            show_range(row["low"], row["high"]),
            show_range(row["low_both"], row["high_both"]),
            str(row["participants"]),
            str(row["answers"]),
        ]
        for row in results.means
    ]
    return ResultTable(
        "Right answers by arm",
        "In percent; of a gain in points. Intervals of 95 %.",
        ["Outcome and arm", "Mean", "over participants", "over states, too", "Participants",
         "Answers"],
        rows,
    )  # fmt: skip


def _table_comparisons(results: StudyMeasures) -> list[ResultTable]:
    tables = []
    for outcome, found in results.comparisons.items():
        scale = 1.0 if outcome != "confidence" else 0.01  # a rating has no percent
        rows = [
            [
                f"{get_explainer_label(one.arm)} over {get_explainer_label(one.other)}",
                show_number(100 * scale * one.difference, "+.2f" if scale < 1 else "+.1f"),
                show_range(scale * one.low, scale * one.high, signed=True),
                show_number(one.p),
                show_number(one.p_holm),
                show_number(one.effect, "+.2f"),
                str(one.n),
            ]
            for one in found
        ]
        test = found[0].test if found else ""
        unit = "points of the scale from 1 to 5" if outcome == "confidence" else "points"
        note = f"In {unit}. Test: {test}; p-values adjusted by Holm over the rows of this table."
        tables.append(ResultTable(
            f"Arms compared: {OUTCOMES[outcome]}", note,
            ["Arms", "Difference", "95 % interval", "p", "p (Holm)", "Effect", "Participants"],
            rows,
        ))  # fmt: skip
    return tables


def _table_changes(results: StudyMeasures) -> ResultTable:
    rows = [
        [get_explainer_label(row["arm"]), str(row["became right"]), str(row["became wrong"]),
         show_number(row["p"])]
        for row in results.changes
    ]  # fmt: skip
    return ResultTable(
        "Predictions that changed",
        "From the first look to the second; p of McNemar's exact test, which takes all answers for "
        "independent.",
        ["Arm", "Became right", "Became wrong", "p"],
        rows,
    )


def _table_agreement(results: StudyMeasures) -> ResultTable:
    rows = [
        [get_explainer_label(row["arm"]), show_number(row["regions"], ".2f"),
         show_number(row["confidence"], ".2f")]
        for row in results.agreement
    ]  # fmt: skip
    return ResultTable(
        "Agreement of participants",
        "Krippendorff's alpha, 1 where all agree and 0 at chance: of regions nominal, of "
        "confidence ordinal.",
        ["Arm", "Regions", "Confidence"],
        rows,
    )
