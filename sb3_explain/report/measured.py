"""What a report shows of an evaluation: the form of ``metrics.json`` and ``curves.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sb3_explain.common.schema import (
    anything,
    array,
    flag,
    number,
    optional,
    read_document,
    record,
    table,
    text,
    whole,
)

#: what to do about damaged files
REMEDY = "run `sb3-explain evaluate` again"
#: the most explainers and metrics, for which a figure has room
MAX_EXPLAINERS = 64
MAX_METRICS = 32

_figure = optional(number())
_ESTIMATE = record({}, {"mean": _figure, "low": _figure, "high": _figure, "n": optional(whole())})
_COST = table(optional(number(0)))


def _row(value: Any, place: str) -> None:
    """Check the metrics of one explainer, and their cost."""
    table(anything, MAX_METRICS)(value, place)
    record({n: optional(_COST if n == "cost" else _ESTIMATE) for n in value})(value, place)


_STATES = record(
    {},
    {
        "n": whole(),
        "episodes": whole(),
        "confidence": number(0, 1),
        "own_probability": _figure,
        "note": text(),
        "pictures": flag,
        "measure": text(100),
        "n_features": whole(),
        "target": text(1000),
        "never_change": array(text(1000)),
        "squares_never_change": table(array(whole(1))),
        "rank_correlation_float32": table(optional(number(-1, 1)), MAX_EXPLAINERS),
        "cut_after": whole(1),
        "episodes_cut": whole(1),
        "episodes_collected": whole(1),
    },
)
_METRICS = record(
    {"explainers": table(_row, MAX_EXPLAINERS)},
    {
        "agent": optional(record({})),
        "states": optional(_STATES),
        "made": record({}, {"date": text(100)}),
    },
)
_CURVES = table(table(array(number(), longest=10_000), MAX_METRICS), MAX_EXPLAINERS)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read ``metrics.json``.

    :raises ExplainError: if it is missing or damaged
    """
    measured: dict[str, Any] = read_document(path, _METRICS, REMEDY)
    return measured


def read_curves(path: Path) -> dict[str, dict[str, list[float]]]:
    """Read ``curves.json``.

    :raises ExplainError: if it is missing or damaged
    """
    curves: dict[str, dict[str, list[float]]] = read_document(path, _CURVES, REMEDY)
    return curves
