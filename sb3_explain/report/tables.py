"""The tables of a report as formatted texts, with the best values marked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sb3_explain.common.controls import concerns
from sb3_explain.report.words import (
    MISSING,
    MetricWords,
    Table,
    beats,
    format_number,
    get_explainer_label,
    get_metric_words,
    has_interval,
    read_bounds,
    to_finite,
)

DASH = "\N{EN DASH}"


def make_metric_rows(
    table: Table,
    names: Sequence[str],
    controls: Collection[str],
    words: Mapping[str, MetricWords] | None,
) -> list[dict[str, Any]]:
    """Make the rows of the table of metrics, with the controls last.

    :param table: the ``explainers`` of metrics.json
    :param names: names of the metrics, one a column
    :param controls: names of the controls
    :param words: presentation of further metrics
    :return: rows with ``name``, ``label``, ``control`` and ``values``; each value has the texts
        ``mean``, ``interval`` and ``n`` (why, for a metric that failed), and whether it is among
        the ``best`` or ``unproven``
    """
    best = {name: _find_best(table, name, controls, words) for name in names}
    ordered = sorted(table, key=lambda row: row in controls)
    return [
        {
            "name": row,
            "label": get_explainer_label(row),
            "control": row in controls,
            "values": [
                {
                    **_format_value(table[row].get(name)),
                    "best": row in best[name],
                    "unproven": row not in controls
                    and _is_unproven(table, row, name, controls, words),
                }
                for name in names
            ],
        }
        for row in ordered
    ]


def _format_value(estimate: Mapping[str, Any] | None) -> dict[str, str]:
    values = read_bounds(estimate)
    if values is None:
        reason = (estimate or {}).get("failed")
        note = f"failed: {reason}" if reason else ""
        return {"mean": "failed" if reason else MISSING, "interval": "", "n": note}
    low, high = format_number(values[1]), format_number(values[2])
    span = f"{low}{' to ' if low.startswith('-') else DASH}{high}" if has_interval(estimate) else ""
    n = (estimate or {}).get("n")
    return {
        "mean": format_number(values[0]),
        "interval": span,
        "n": f"{n:,} states" if isinstance(n, int) else "",
    }


def _find_best(
    table: Table,
    name: str,
    controls: Collection[str],
    words: Mapping[str, MetricWords] | None,
) -> set[str]:
    """Find the best method of a metric, and all that it does not clearly beat.

    Where the best mean has no interval, no difference is shown, and nothing is marked.
    """
    better = get_metric_words(name, words).better
    means = {
        row: values[0]
        for row in table
        if row not in controls and (values := read_bounds(table[row].get(name)))
    }
    if better is None or len(means) < 2:
        return set()
    top = (max if better == "up" else min)(means, key=means.__getitem__)
    first = table[top].get(name)
    if not has_interval(first):
        return set()
    return {
        row
        for row in means
        if means[row] == means[top]
        or (has_interval(table[row].get(name)) and not beats(first, table[row].get(name), better))
    }


def _is_unproven(
    table: Table,
    row: str,
    name: str,
    controls: Collection[str],
    words: Mapping[str, MetricWords] | None,
) -> bool:
    """Tell whether some control does as well as an explainer on a metric of faithfulness."""
    said = get_metric_words(name, words)
    own = table[row].get(name)
    others = [
        table[other].get(name) for other in table if other in controls and concerns(other, row)
    ]
    return said.faithful and any(beats(own, other, said.better) is False for other in others)


def format_costs(cost: Mapping[str, Any]) -> dict[str, str]:
    """Format an explainer's costs: forward passes, seconds, and seconds of fitting."""

    def shown(key: str, form: str) -> str:
        value = to_finite(cost.get(key))
        return MISSING if value is None else format(value, form)

    return {
        "forwards": shown("forwards", ",.0f"),
        "seconds": shown("seconds", ",.1f"),
        "fit_seconds": shown("fit_seconds", ",.1f"),
    }
