"""The report's tables as texts, with what stands out in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sb3_explain.report.words import (
    MISSING,
    MetricWords,
    Table,
    beats,
    bounds,
    explainer_label,
    finite,
    has_interval,
    metric_words,
    number,
)

DASH = "\N{EN DASH}"


def metric_rows(
    table: Table,
    names: Sequence[str],
    baselines: Collection[str],
    words: Mapping[str, MetricWords] | None,
) -> list[dict[str, Any]]:
    """Rows of the metric table, methods first, controls last.

    :param table: metrics.json's ``explainers``
    :param names: the columns
    :param baselines: names of the controls
    :param words: of further metrics
    """
    best = {name: _best(table, name, baselines, words) for name in names}
    ordered = sorted(table, key=lambda row: row in baselines)
    return [
        {
            "name": row,
            "label": explainer_label(row),
            "baseline": row in baselines,
            "cells": [
                {
                    **_cell(table[row].get(name)),
                    "best": row in best[name],
                    "unproven": row not in baselines
                    and _unproven(table, row, name, baselines, words),
                }
                for name in names
            ],
        }
        for row in ordered
    ]


def _cell(entry: Mapping[str, Any] | None) -> dict[str, str]:
    values = bounds(entry)
    if values is None:
        return {"mean": MISSING, "interval": "", "n": ""}
    low, high = number(values[1]), number(values[2])
    span = f"{low}{' to ' if low.startswith('-') else DASH}{high}" if has_interval(entry) else ""
    n = (entry or {}).get("n")
    return {
        "mean": number(values[0]),
        "interval": span,
        "n": f"{n:,} states" if isinstance(n, int) else "",
    }


def _best(
    table: Table,
    name: str,
    baselines: Collection[str],
    words: Mapping[str, MetricWords] | None,
) -> set[str]:
    """The best method of a metric, and all whose intervals reach its own."""
    better = metric_words(name, words).better
    means = {
        row: values[0]
        for row in table
        if row not in baselines and (values := bounds(table[row].get(name)))
    }
    if better is None or len(means) < 2:
        return set()
    top = (max if better == "up" else min)(means, key=means.__getitem__)
    first = table[top].get(name)
    return {row for row in means if not beats(first, table[row].get(name), better)}


def _unproven(
    table: Table,
    row: str,
    name: str,
    baselines: Collection[str],
    words: Mapping[str, MetricWords] | None,
) -> bool:
    """Whether some control does as well as this one on a metric of faithfulness."""
    said = metric_words(name, words)
    own = table[row].get(name)
    others = [table[other].get(name) for other in table if other in baselines]
    return said.faithful and any(beats(own, other, said.better) is False for other in others)


def cost_cells(cost: Mapping[str, Any]) -> dict[str, str]:
    """The texts of an explainer's costs."""

    def shown(key: str, form: str) -> str:
        value = finite(cost.get(key))
        return MISSING if value is None else format(value, form)

    return {
        "forwards": shown("forwards", ",.0f"),
        "seconds": shown("seconds", ",.1f"),
        "fit_seconds": shown("fit_seconds", ",.1f"),
    }
