"""The first paragraph of a report: what the figures say, in words, and where they say little."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sb3_explain.report.words import (
    CONTROLS,
    Entry,
    MetricWords,
    Table,
    beats,
    bounds,
    explainer_label,
    has_interval,
    in_text,
    joined,
    metric_words,
    number,
    percent,
)


def summarize(
    table: Table,
    explainer: str,
    *,
    baselines: Collection[str] = CONTROLS,
    words: Mapping[str, MetricWords] | None = None,
) -> list[str]:
    """Sentences on one explainer.

    Calls the explainer better only where intervals do not overlap, and says so where a baseline
    row does as well.

    :param table: metrics.json's ``explainers``
    :param explainer: a row of it
    :param baselines: names of the controls
    :param words: of further metrics
    """
    row = table.get(explainer, {})
    label = explainer_label(explainer)
    sentences = _accuracy(table, row, label, baselines)
    for name in ("insertion", "deletion"):
        said = metric_words(name, words)
        sentences += _against_controls(table, explainer, name, said, baselines)
    if not sentences and any(bounds(row[name]) for name in row if name != "cost"):
        return [f"What was measured of {label} is in the table below."]
    return sentences or [f"No metric of {label} has been computed."]


def _accuracy(
    table: Table,
    row: Mapping[str, Entry],
    label: str,
    baselines: Collection[str],
) -> list[str]:
    for name in ("accuracy", "accuracy@0.1"):
        share = bounds(row.get(name))
        if share is None:
            continue
        n = row[name].get("n")
        states = f"the {n:,} states" if isinstance(n, int) else "the states"
        span = f" (interval {100 * share[1]:.1f} to {100 * share[2]:.1f}\N{NO-BREAK SPACE}%)"
        span = span if share[2] > share[1] else ""
        if name == "accuracy":
            area = bounds(row.get("mask_area"))
            part = percent(area[0]) if area else "part"
            text = (
                f"{label} keeps the agent's choice in {percent(share[0])} of {states}{span} "
                f"while showing it {part} of the observation."
            )
        else:
            text = (
                f"Shown only the tenth of the observation that {label} marks highest, the agent "
                f"makes the same choice in {percent(share[0])} of {states}{span}."
            )
        blind = bounds(table.get("empty", {}).get(name)) if "empty" in baselines else None
        if blind:
            text += f" Shown nothing at all, it makes the same choice in {percent(blind[0])}."
        return [text]
    return []


def _against_controls(
    table: Table, explainer: str, name: str, said: MetricWords, baselines: Collection[str]
) -> list[str]:
    own = table.get(explainer, {}).get(name)
    if bounds(own) is None:
        return []
    won: list[str] = []
    lost: list[str] = []
    for other in table:
        if other not in baselines or other == explainer:
            continue
        verdict = beats(own, table[other].get(name), said.better)
        if verdict is not None:
            entry = f"{in_text(other, baselines)} ({number(table[other][name]['mean'])})"
            (won if verdict else lost).append(entry)
    what = f"{said.label} is {number((own or {})['mean'])}"
    side = "higher" if said.better == "up" else "lower"
    sentences = []
    if won:
        sentences.append(
            f"{what}, {side} (that is, better) than for {joined(won)}, with intervals apart."
        )
    if lost and not has_interval(own):
        sentences.append(
            f"{what}, not shown to be better than for {joined(lost)}: there are too few episodes "
            "for an interval."
        )
    elif lost:
        start = "It is" if won else f"{what},"
        sentences.append(
            f"{start} not clearly better than for {joined(lost)}: by this measure the maps are "
            "not shown to tell more."
        )
    return sentences
