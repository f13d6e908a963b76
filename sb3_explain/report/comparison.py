"""Which method is best by which metric, and what cannot be told, in few sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
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


def _find_best(
    table: Table, name: str, words: MetricWords, methods: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Find the methods whose means are the best, as they are written, and the others in order."""
    ranked = _rank(table, name, words, methods)
    say = _get_format(name)
    means = [say(table[each][name]["mean"]) for each in ranked]
    n = means.count(means[0])
    return ranked[:n], ranked[n:]


def _get_format(name: str) -> Callable[[float], str]:
    return format_percent if name.startswith("accuracy") else format_number


def _name_best(
    table: Table,
    name: str,
    words: MetricWords,
    methods: Sequence[str],
    controls: Collection[str],
    wording: Wording,
) -> str:
    (best, *level), others = _find_best(table, name, words, methods)
    of_share, say = name.startswith("accuracy"), _get_format(name)
    row, labels = table[best][name], join_words(list(map(get_explainer_label, (best, *level))))
    heading = f"{words.label} ({_SIDES[words.better or 'up']}):"
    found = find_standing(table, best, name, words.better, controls, say)
    if found.level and not (others or found.beaten or found.behind or found.ahead or found.better):
        return (
            f"{heading} {_TELLS_NOTHING}, since {join_words(['all methods', *found.level])} have "
            "the same."
        )
    above = found.better + found.ahead if others or level else []
    mean = say(row["mean"])
    if above:
        verb = "keeps the choice better" if of_share else "is better"
        controls_above = join_words([each.rpartition(" (")[0] for each in above])
        text = f"{heading} no method {verb} than {controls_above}"
    elif level:
        text = f"{heading} {labels} " + ("keep the choice as often" if of_share else "are level")
    elif others:
        text = f"{heading} {labels} " + ("keeps the choice best" if of_share else "is best")
    else:
        text = f"{heading} {labels}"
    if of_share:
        shown = f"hown only {_name_shown(name, labels, wording, several=bool(level))}, "
        states = f"the {row['n']:,} states" if isinstance(row.get("n"), int) else "the states"
        clause = f"; s{shown}" if above or level or others else f". S{shown}"
        text += f"{clause}the agent {wording.done} in {mean} of {states}"
    elif above:
        text += f"; {labels} {'are' if level else 'is'} best of them ({mean})"
    else:
        text += f" ({mean})"
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
    they = "they are" if level else "it is"
    return text + (f"; {they} {join_words(beside)}." if beside else ".")


def _name_shown(name: str, labels: str, wording: Wording, *, several: bool) -> str:
    share = read_share(name)
    if share is None:
        return f"what the masks of {labels} keep"
    return f"{wording.part(share)} that {labels} mark{'' if several else 's'} highest"


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
    best = {name: _find_best(table, name, each, methods)[0] for name, each in words.items()}
    for method in methods:
        unproven = []
        for name, each in words.items():
            found = find_standing(table, method, name, each.better, controls)
            if any((found.level, found.behind, found.ahead, found.better)):
                unproven.append(name)
        if any(method not in best[name] for name in unproven):
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
        (best, *level), others = _find_best(table, name, each, methods)
        if others and not level:  # of those that are level, it has been said
            first, second = table[best][name], table[others[0]][name]
            known = known or has_interval(first)
            unclear += [] if beats(first, second, each.better) else [_lower(each.label)]
    if not unclear:
        return []
    n, episodes = states.get("n"), states.get("episodes")
    which = f"these {n:,} states" if isinstance(n, int) else "these states"
    which += f" of {episodes:,} episode(s)" if isinstance(episodes, int) else ""
    reason = (
        "their intervals overlap; differences of pairs (evaluation.difference in Python) may tell "
        "more"
        if known
        else "there are no intervals"
    )
    return [
        f"From {which} it cannot be told which of the two best is better by {join_words(unclear)}: "
        f"{reason}."
    ]


def _lower(label: str) -> str:
    return label[:1].lower() + label[1:]
