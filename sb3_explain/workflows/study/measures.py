"""What the answers of a study say: rows of opinions, accuracies, changes and agreement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.agreement import measure_agreement
from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.comparisons import bound_share, compare_changes
from sb3_explain.common.crossed import bound_over_both, bound_over_participants, bound_ranking
from sb3_explain.workflows.study.answers import Table, average_rows

Array = NDArray[Any]
Row = dict[str, Any]


def measure_opinions(table: Table, arms: Sequence[str]) -> list[Row]:
    """Count the responses to each question of opinion, and those that say yes, by arm.

    The last row of each arm is of all its questions; its interval takes responses of one
    participant for independent, as the paper's figure does.

    :param table: answers; the first option is yes
    :param arms: names of the arms
    """
    rows = []
    for number, arm in enumerate(arms):
        responses = table.of_arm(table.responses, number)
        for question, column in zip(table.questions, responses.T, strict=True):
            rows.append(_count_opinions(arm, question.name, column))
        rows.append(_count_opinions(arm, "all", responses))
    return [row for row in rows if row["responses"]]


def _count_opinions(arm: str, question: str, responses: Array) -> Row:
    n, positive = int((~np.isnan(responses)).sum()), int((responses == 0).sum())
    low, high = bound_share(positive, n)
    share = positive / n if n else np.nan
    return {"arm": arm, "question": question, "responses": n, "positive": positive,
            "share": share, "low": low, "high": high}  # fmt: skip


def measure_means(values: Array, table: Table, arms: Sequence[str], outcome: str) -> list[Row]:
    """Compute the mean of an outcome in each arm, with its two intervals.

    :param values: (P, I) outcome of each answer
    :param table: answers, for their arms
    :param arms: names of the arms
    :param outcome: name of the outcome
    """
    rows = []
    for number, arm in enumerate(arms):
        shown = table.of_arm(values, number)
        people = bound_over_participants(shown)
        both = bound_over_both(shown)
        rows.append({
            "outcome": outcome, "arm": arm, "mean": people.mean, "low": people.low,
            "high": people.high, "low_both": both.low, "high_both": both.high,
            "participants": int((~np.isnan(shown)).any(axis=1).sum()), "answers": people.n,
        })  # fmt: skip
    return [row for row in rows if row["answers"]]


def measure_changes(before: Table, after: Table, arms: Sequence[str]) -> list[Row]:
    """Count the predictions of each arm that became right and wrong, with McNemar's exact test.

    :param before: predictions before the map
    :param after: predictions of the same participants after it
    :param arms: names of the arms
    """
    rows = []
    for number, arm in enumerate(arms):
        first, second = (each.of_arm(each.right, number) for each in (before, after))
        gained, lost, p = compare_changes(first, second)
        rows.append({"arm": arm, "became right": gained, "became wrong": lost, "p": p})
    return rows


def measure_agreements(regions: Table, after: Table, arms: Sequence[str]) -> list[Row]:
    """Compute Krippendorff's alpha of each arm: of regions, which are names, and of confidence.

    :param regions: answers to questions of regions
    :param after: predictions after the map, with confidence
    :param arms: names of the arms
    """
    rows = []
    for number, arm in enumerate(arms):
        named = measure_agreement(regions.of_arm(regions.responses, number))
        rated = measure_agreement(after.of_arm(after.confidence, number), "ordinal")
        rows.append({"arm": arm, "regions": named, "confidence": rated})
    return rows


def measure_ranking(tables: Sequence[Table], n_resamples: int, seed: int) -> Interval:
    """Compute how often a right prediction has the higher confidence than a wrong one.

    :param tables: predictions of the same participants
    :param n_resamples: number of the bootstrap's draws
    :param seed: random seed of the bootstrap
    """
    counts = [
        sum(
            np.stack([((t.right == right) & (t.confidence == score)).sum(axis=1)
                      for score in range(1, 6)], axis=1)
            for t in tables
        )
        for right in (1, 0)
    ]  # fmt: skip
    return bound_ranking(counts[0], counts[1], n_resamples=n_resamples, seed=seed)


def relate_opinions(opinions: Table, gains: Array, after: Table, arms: Sequence[str]) -> Row:
    """Correlate how often participants say that maps help with what maps help them.

    Spearman's rank correlation over participants, of the share of yes with the mean gain in arms
    with a map.

    :param opinions: answers to questions of opinion
    :param gains: (P, I) gain of each prediction
    :param after: the predictions, for their arms
    :param arms: names of the arms, the first without a map
    """
    from scipy import stats

    said = average_rows(np.where(np.isnan(opinions.responses), np.nan, opinions.responses == 0))
    gained = average_rows(np.where(after.arms > 0, gains, np.nan))
    known = ~np.isnan(said) & ~np.isnan(gained)
    said, gained = said[known], gained[known]
    if len(said) < 3 or not np.ptp(said) or not np.ptp(gained):
        return {"rho": np.nan, "p": np.nan, "participants": len(said)}
    found = stats.spearmanr(said, gained)
    return {"rho": float(found.statistic), "p": float(found.pvalue), "participants": len(said)}
