"""How far an explainer's maps can be trusted, as short texts under a map."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sb3_explain.common.controls import concerns
from sb3_explain.report.words import (
    MetricWords,
    Table,
    beats,
    format_number,
    get_explainer_label,
    has_interval,
    read_bounds,
)


def describe_trust(
    table: Table,
    explainer: str,
    controls: Collection[str],
    words: Mapping[str, MetricWords],
) -> list[dict[str, str | bool | None]]:
    """Describe each metric of an explainer, beside the best of its controls.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param controls: names of the controls
    :param words: presentation of the metrics, by name
    :return: texts ``label``, ``value`` and ``controls`` of every metric that was measured, and
        whether it is clearly ``better`` than that of the best control; ``None`` without one
    """
    described: list[dict[str, str | bool | None]] = []
    for metric, said in words.items():
        own = table.get(explainer, {}).get(metric)
        if read_bounds(own) is None:
            continue
        found = {
            name: bounds[0]
            for name in table
            if name in controls and name != explainer and concerns(name, explainer)
            and (bounds := read_bounds(table[name].get(metric)))
        }  # fmt: skip
        beside, better = "", None
        if found and said.better:
            best = (max if said.better == "up" else min)(found, key=found.__getitem__)
            better = beats(own, table[best][metric], said.better)
            label = get_explainer_label(best)
            label = label if label.isupper() else label[:1].lower() + label[1:]
            beside = f"best control, {label}: {format_estimate(table[best][metric])}"
        described.append(
            {
                "label": f"{said.label} {said.arrow}".strip(),
                "value": format_estimate(own),
                "controls": beside,
                "better": better,
            }
        )
    return described


def format_estimate(estimate: Mapping[str, object] | None) -> str:
    """Write a mean, with its interval if there is one."""
    bounds = read_bounds(estimate)
    if bounds is None:
        return ""
    mean, low, high = map(format_number, bounds)
    return f"{mean} ({low} to {high})" if has_interval(estimate) else mean
