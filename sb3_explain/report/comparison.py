"""Which method is best by which metric, and what cannot be told, in few sentences."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sb3_explain.common.controls import list_controls
from sb3_explain.report.standing import find_standing
from sb3_explain.report.summary import (
    describe_emptiness,
    describe_forced,
    describe_own_controls,
    list_compared,
)
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import (
    MetricWords,
    Table,
    beats,
    format_number,
    format_percent,
    get_explainer_label,
    get_metric_words,
    has_interval,
    join_words,
    list_metric_names,
    read_bounds,
    read_share,
)

_TELLS_NOTHING = "tells nothing here"
_SIDES = {"up": "higher is better", "down": "lower is better"}


def compare_methods(table: Table, states: Mapping[str, Any]) -> list[str]:
    """Say which method is best by each metric, and whether that is clear.

    Of a method, it is clear where its interval and that of the next do not overlap, and that it
    tells something where its interval and those of the controls do not.

    :param table: the ``explainers`` of metrics.json
    :param states: the ``states`` of metrics.json
    :return: a sentence for each metric, and one for all that intervals leave open; then what is
        said of maps that are the same for all states, or empty
    """
    controls, wording = list_controls(table), Wording.read(states)
    methods = [name for name in table if name not in controls]
    if not methods:
        return []
    words = {
        name: get_metric_words(name, None, wording)
        for name in _list_metrics({key: table[key] for key in methods})
    }
    named = [_name_best(table, name, words[name], methods, controls, wording) for name in words]
    # the first is what a page says large: not of a metric that tells nothing here
    said = sorted(named, key=lambda sentence: _TELLS_NOTHING in sentence)
    if not words:
        said = ["No metric that tests maps against the agent was measured: none is called best."]
    said += _say_unproven(table, words, methods, controls)
    said += _say_open(table, words, methods, states)
    for method in methods:
        said += describe_own_controls(table, method, wording)
        said += describe_emptiness(table[method], get_explainer_label(method))
        said += describe_forced(table, method, wording)
    return said


def _list_metrics(methods: Table) -> list[str]:
    """List the metrics that test maps: the share of kept actions, and one of each other kind."""
    names = list_metric_names(methods)
    shares = [name for name in names if re.match(r"accuracy($|@)", name)]
    shares = shares or [name for name in names if name.startswith("accuracy ")]
    found = dict.fromkeys(name for row in methods.values() for name in list_compared(row))
    return [
        name
        for name in (*shares, *found)
        if any(read_bounds(row.get(name)) is not None for row in methods.values())
    ]


def _rank(table: Table, name: str, words: MetricWords, methods: Sequence[str]) -> list[str]:
    means = {row: read[0] for row in methods if (read := read_bounds(table[row].get(name)))}
    return sorted(means, key=means.__getitem__, reverse=words.better == "up")


def _name_best(
    table: Table,
    name: str,
    words: MetricWords,
    methods: Sequence[str],
    controls: Collection[str],
    wording: Wording,
) -> str:
    best, *others = _rank(table, name, words, methods)
    of_share = name.startswith("accuracy")
    say = format_percent if of_share else format_number
    row, label = table[best][name], get_explainer_label(best)
    heading = f"{words.label} ({_SIDES[words.better or 'up']}):"
    found = find_standing(table, best, name, words.better, controls, say)
    means = {say(read[0]) for each in methods if (read := read_bounds(table[each].get(name)))}
    if (
        found.level
        and means == {say(row["mean"])}
        and not (found.beaten or found.behind or found.ahead or found.better)
    ):
        return (
            f"{heading} {_TELLS_NOTHING}, since {join_words(['all methods', *found.level])} have "
            "the same."
        )
    best_of = " of the methods" if found.ahead or found.better else ""
    text = f"{heading} {label}"
    if of_share:
        text += f" keeps the choice best{best_of}" if others else ""
        shown = f"hown only {_name_shown(name, label, wording)}, the agent {wording.done} in "
        text += f"; s{shown}" if others else f". S{shown}"
        states = f"the {row['n']:,} states" if isinstance(row.get("n"), int) else "the states"
        text += f"{say(row['mean'])} of {states}"
    else:
        text += f" is best{best_of}" * bool(others) + f" ({say(row['mean'])})"
    if others:
        following = table[others[0]][name]
        clear = "clearly before" if beats(row, following, words.better) else "not clearly before"
        text += f", {clear} the next, {get_explainer_label(others[0])} ({say(following['mean'])})"
    parts = [
        ("clearly better than", found.beaten),
        ("not clearly better than", found.level + found.behind),
        ("behind, not clearly,", found.ahead),
        ("clearly behind", found.better),
    ]
    beside = [f"{how} {join_words(names)}" for how, names in parts if names]
    return text + (f"; it is {join_words(beside)}." if beside else ".")


def _name_shown(name: str, label: str, wording: Wording) -> str:
    share = read_share(name)
    if share is None:
        return f"what the masks of {label} keep"
    return f"{wording.part(share)} that {label} marks highest"


def _say_unproven(
    table: Table,
    words: Mapping[str, MetricWords],
    methods: Sequence[str],
    controls: Collection[str],
) -> list[str]:
    """Say by which metrics a method is not clearly better than all controls.

    Of a method that is the best by all of these, it has been said.
    """
    lacking: dict[tuple[str, ...], list[str]] = {}
    best = {name: _rank(table, name, each, methods)[0] for name, each in words.items()}
    for method in methods:
        unproven = []
        for name, each in words.items():
            found = find_standing(table, method, name, each.better, controls)
            if any((found.level, found.behind, found.ahead, found.better)):
                unproven.append(name)
        if any(best[name] != method for name in unproven):
            metrics = [_lower(words[name].label) for name in unproven]
            lacking.setdefault(tuple(metrics), []).append(get_explainer_label(method))
    return [
        f"{join_words(names)} {'is' if len(names) == 1 else 'are'} not clearly better than every "
        f"control by {join_words(metrics)}."
        for metrics, names in lacking.items()
    ]


def _say_open(
    table: Table,
    words: Mapping[str, MetricWords],
    methods: Sequence[str],
    states: Mapping[str, Any],
) -> list[str]:
    """Say by which metrics these states do not tell the two best methods apart, and why."""
    unclear, known = [], False
    for name, each in words.items():
        ranked = _rank(table, name, each, methods)
        if len(ranked) > 1:
            first, second = (table[row][name] for row in ranked[:2])
            known = known or has_interval(first)
            unclear += [] if beats(first, second, each.better) else [_lower(each.label)]
    if not unclear:
        return []
    n, episodes = states.get("n"), states.get("episodes")
    which = f"these {n:,} states" if isinstance(n, int) else "these states"
    which += f" of {episodes:,} episode(s)" if isinstance(episodes, int) else ""
    reason = (
        "their intervals overlap; evaluation.difference(...), of pairs, may tell more"
        if known
        else "there are no intervals"
    )
    return [
        f"From {which} it cannot be told which of the two best is better by {join_words(unclear)}: "
        f"{reason}."
    ]


def _lower(label: str) -> str:
    return label[:1].lower() + label[1:]
