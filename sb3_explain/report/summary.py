"""The summary of a report: what the metrics show, in words, and what they do not show."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sb3_explain.common.controls import CONTROLS, OWN_CONTROLS, concerns
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import (
    Estimate,
    MetricWords,
    Table,
    beats,
    format_number,
    format_percent,
    get_explainer_label,
    get_metric_words,
    has_interval,
    join_words,
    name_in_text,
    read_bounds,
    to_finite,
)


def summarize(
    table: Table,
    explainer: str,
    *,
    controls: Collection[str] = CONTROLS,
    words: Mapping[str, MetricWords] | None = None,
    wording: Wording | None = None,
) -> list[str]:
    """Summarize the metrics of one explainer in sentences.

    The explainer is called better only where intervals do not overlap, and the sentences name the
    controls that do as well.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param controls: names of the controls
    :param words: presentation of further metrics
    :param wording: words for the kind of agent; for one of pictures when not given
    """
    row = table.get(explainer, {})
    label = get_explainer_label(explainer)
    sentences = _describe_accuracy(table, explainer, controls, wording or Wording())
    for name in ("insertion", "deletion", "policy_preservation"):
        said = get_metric_words(name, words)
        sentences += _compare_with_controls(table, explainer, name, said, controls)
    sentences += describe_own_controls(table, explainer)
    sentences += describe_emptiness(row, label)
    if not sentences and any(read_bounds(row[name]) for name in row if name != "cost"):
        return [f"The metrics of {label} are in the table below."]
    return sentences or [f"No metric of {label} has been computed."]


def describe_own_controls(table: Table, explainer: str) -> list[str]:
    """Say where maps that know nothing of the state do as well as an explainer's own.

    Another state's map does as well where the intervals of both overlap and that of their paired
    difference, the specificity, is not above 0.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :return: one sentence, or none
    """
    label = get_explainer_label(explainer)
    level = {control: _find_level(table, explainer, control) for control in OWN_CONTROLS}
    if level["swapped"]:
        also = ", and so does the mean map of the action" if level["template"] else ""
        return [
            f"By {join_words(level['swapped'])}, the maps of {label} are much the same for every "
            f"state of an action: another state's map does as well{also}."
        ]
    if level["template"]:
        return [
            f"By {join_words(level['template'])}, the mean map of an action does as well as the "
            f"maps of {label}: what is particular to a state is not shown to matter."
        ]
    return []


def describe_emptiness(row: Mapping[str, Estimate], label: str) -> list[str]:
    """Say that the masks of an explainer show nothing, where they do.

    :param row: its metrics
    :param label: its label
    :return: one sentence, or none
    """
    area = read_bounds(row.get("mask_area"))
    if area is None or area[0] >= EMPTY:
        return []
    return [
        f"The masks of {label} are empty: they show {format_percent(area[0])} of the observation, "
        "and explain nothing."
    ]


def _find_level(table: Table, explainer: str, control: str) -> list[str]:
    """Find the metrics by which an own control is not clearly worse, as words."""
    own, other = table.get(explainer, {}), table.get(f"{explainer} {control}", {})
    level = []
    for name, difference in (
        ("insertion", "specificity"),
        ("policy_preservation", "policy_specificity"),
    ):
        said = get_metric_words(name)
        known = has_interval(own.get(name)) and has_interval(other.get(name))
        paired = read_bounds(own.get(difference)) if control == "swapped" else None
        specific = paired is not None and has_interval(own.get(difference)) and paired[1] > 0
        if known and not specific and not beats(own.get(name), other.get(name), said.better):
            level.append(said.label.lower())
    return level


#: largest mean of masks that are called empty
EMPTY = 0.005


def describe_states(states: Mapping[str, Any], table: Table) -> list[str]:
    """Say of the states what one has to know to read the metrics.

    :param states: the ``states`` of metrics.json
    :param table: the ``explainers`` of metrics.json
    """
    sentences = []
    probability, wording = to_finite(states.get("own_probability")), Wording.read(states)
    outcome = wording.outcome.replace("the action", "the agent's action")
    # every Box action is wholly similar to itself
    known = probability is not None and not wording.continuous
    if known and any("insertion" in row for row in table.values()):
        sentences.append(
            f"On the whole observations, the mean {outcome} is "
            f"{format_number(probability)}: insertion above it comes from maps that make the "
            "agent surer than it is."
        )
    note = states.get("note")
    if isinstance(note, str) and note:
        known = any(has_interval(row[n]) for row in table.values() for n in row if n != "cost")
        if not known:
            note = note.replace("the interval is too narrow", "there are no intervals")
        sentences.append(f"{note[0].upper()}{note[1:]}.")
    return sentences


def _describe_accuracy(
    table: Table, explainer: str, controls: Collection[str], wording: Wording
) -> list[str]:
    row, label = table.get(explainer, {}), get_explainer_label(explainer)
    nearly = ", to a 20th of its range," if wording.continuous else ""
    for name in ("accuracy", "accuracy@0.1"):
        share = read_bounds(row.get(name))
        if share is None:
            continue
        n = row[name].get("n")
        states = f"the {n:,} states" if isinstance(n, int) else "the states"
        span = f" (interval {100 * share[1]:.1f} to {100 * share[2]:.1f}\N{NO-BREAK SPACE}%)"
        span = span if share[2] > share[1] else ""
        if name == "accuracy":
            area = read_bounds(row.get("mask_area"))
            part = format_percent(area[0]) if area else "part"
            text = (
                f"{label} keeps the agent's action{nearly} in {format_percent(share[0])} "
                f"of {states}{span} while showing it {part} of the observation."
            )
        else:
            text = (
                f"Shown only {wording.part(0.1)} that {label} marks highest, the agent "
                f"takes the same action{nearly} in {format_percent(share[0])} of {states}{span}."
            )
        blind = read_bounds(table.get("empty", {}).get(name)) if "empty" in controls else None
        if blind:
            text += (
                f" Shown nothing at all, it takes the same action in {format_percent(blind[0])}."
            )
        return [text + _compare_accuracy(table, explainer, name, controls)]
    return []


def _compare_accuracy(table: Table, explainer: str, name: str, controls: Collection[str]) -> str:
    """Say which other controls keep the agent's action, and whether they do so as often."""
    own = table.get(explainer, {}).get(name)
    won: list[str] = []
    lost: list[str] = []
    for other in table:
        estimate = read_bounds(table[other].get(name))
        counts = other in controls and other not in (explainer, "empty")
        if not counts or estimate is None or not concerns(other, explainer):
            continue
        text = f"{name_in_text(other, controls)} ({format_percent(estimate[0])})"
        (won if beats(own, table[other].get(name), "up") else lost).append(text)
    said = f" The action is kept less often by {join_words(won)}." if won else ""
    if lost and not has_interval(own):
        return (
            f"{said} Whether the action is kept less often by {join_words(lost)} is not shown: "
            "there are too few episodes for an interval."
        )
    if lost:
        said += (
            f" The action is kept about as often by {join_words(lost)}: this alone does not show "
            "that the maps find what matters."
        )
    return said


def _compare_with_controls(
    table: Table, explainer: str, name: str, said: MetricWords, controls: Collection[str]
) -> list[str]:
    own = table.get(explainer, {}).get(name)
    if read_bounds(own) is None:
        return []
    won: list[str] = []
    lost: list[str] = []
    for other in table:
        if other not in controls or other == explainer or not concerns(other, explainer):
            continue
        verdict = beats(own, table[other].get(name), said.better)
        if verdict is not None:
            text = f"{name_in_text(other, controls)} ({format_number(table[other][name]['mean'])})"
            (won if verdict else lost).append(text)
    label = get_explainer_label(explainer)
    what = f"{said.label} of {label} is {format_number((own or {})['mean'])}"
    side = "higher" if said.better == "up" else "lower"
    sentences = []
    if won:
        sentences.append(
            f"{what}, {side} (that is, better) than for {join_words(won)}, with intervals apart."
        )
    if lost and not has_interval(own):
        sentences.append(
            f"{what}, not shown to be better than for {join_words(lost)}: there are too few "
            "episodes for an interval."
        )
    elif lost:
        start = "It is" if won else f"{what},"
        sentences.append(
            f"{start} not clearly better than for {join_words(lost)}: by this measure the maps are "
            "not shown to tell more."
        )
    return sentences
