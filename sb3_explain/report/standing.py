"""How an explainer stands beside the controls, by one metric, in sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence

from sb3_explain.common.controls import concerns
from sb3_explain.report.words import (
    MetricWords,
    Table,
    beats,
    format_number,
    format_percent,
    get_explainer_label,
    has_interval,
    join_words,
    name_in_text,
    read_bounds,
)

_TOO_FEW = "there are too few episodes for an interval"


@dataclasses.dataclass(frozen=True)
class Standing:
    """The controls of one metric by how an explainer stands beside them, each with its mean.

    :param beaten: controls that are worse, with intervals apart
    :param level: controls whose means are written alike
    :param behind: controls whose means are worse, but not clearly
    :param ahead: controls whose means are better, but not clearly
    :param better: controls that are better, with intervals apart
    """

    beaten: list[str]
    level: list[str]
    behind: list[str]
    ahead: list[str]
    better: list[str]


def find_standing(
    table: Table,
    explainer: str,
    name: str,
    better: str | None,
    controls: Collection[str],
    say: Callable[[float], str] = format_number,
) -> Standing:
    """Sort the controls of a metric by how an explainer stands beside them.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param name: name of the metric
    :param better: ``"up"`` or ``"down"``; ``None`` for no direction, and no control
    :param controls: names of the controls
    :param say: writes a mean
    """
    own = table.get(explainer, {}).get(name)
    mine = read_bounds(own)
    standing = Standing([], [], [], [], [])
    for control in table:
        other = table[control].get(name)
        theirs = read_bounds(other)
        if control == explainer or control not in controls or not concerns(control, explainer):
            continue
        if mine is None or theirs is None or better is None:
            continue
        ahead = theirs[0] > mine[0] if better == "up" else theirs[0] < mine[0]
        if beats(own, other, better):
            group = standing.beaten
        elif beats(other, own, better):
            group = standing.better
        elif say(theirs[0]) == say(mine[0]):
            group = standing.level
        else:
            group = standing.ahead if ahead else standing.behind
        group.append(f"{name_in_text(control, controls)} ({say(theirs[0])})")
    return standing


def compare_with_controls(
    table: Table, explainer: str, name: str, said: MetricWords, controls: Collection[str]
) -> list[str]:
    """Say which controls an explainer beats, and which are ahead of it.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param name: name of the metric
    :param said: presentation of the metric
    :param controls: names of the controls
    """
    own = table.get(explainer, {}).get(name)
    if own is None or read_bounds(own) is None:
        return []
    found = find_standing(table, explainer, name, said.better, controls)
    what = f"{said.label} of {get_explainer_label(explainer)} is {format_number(own['mean'])}"
    side = "higher" if said.better == "up" else "lower"
    known = has_interval(own)
    sentences = []
    if found.beaten:
        sentences.append(
            f"{what}, {side} (that is, better) than for {join_words(found.beaten)}, with intervals "
            "apart."
        )
    if found.better:
        start = "But" if sentences else f"{what}, but"
        sentences.append(
            f"{start} {join_words(found.better)} {_are(found.better)} clearly ahead, with "
            "intervals apart: by this measure the maps tell less."
        )
    if found.ahead:
        start = _capitalize(join_words(found.ahead)) if sentences else what
        start += "" if sentences else f", but {join_words(found.ahead)}"
        reason = "by this measure the maps are not shown to tell more" if known else _TOO_FEW
        sentences.append(f"{start} {_are(found.ahead)} ahead, not clearly: {reason}.")
    others = found.level + found.behind
    if others and known:
        start = "It is" if sentences else f"{what},"
        sentences.append(
            f"{start} not clearly better than for {join_words(others)}: by this measure the "
            "maps are not shown to tell more."
        )
    elif others:
        start = "It is" if sentences else f"{what},"
        sentences.append(
            f"{start} not shown to be better than for {join_words(others)}: {_TOO_FEW}."
        )
    return sentences


def compare_accuracy(
    table: Table, explainer: str, name: str, controls: Collection[str], done: str
) -> list[str]:
    """Say with which other controls the agent does what is counted, and whether it does as often.

    The empty mask is left out, of which an own sentence speaks.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param name: name of the metric
    :param controls: names of the controls
    :param done: what is counted, as the beginning of a sentence
    """
    others = [control for control in controls if control != "empty"]
    found = find_standing(table, explainer, name, "up", others, format_percent)
    known = has_interval(table.get(explainer, {}).get(name))
    said = []
    if found.beaten:
        said.append(f"{_capitalize(done)} less often by {join_words(found.beaten)}.")
    if found.better:
        said.append(
            f"{_capitalize(done)} more often by {join_words(found.better)}, with intervals apart: "
            "by this measure the maps tell less."
        )
    if found.behind and not known:
        said.append(
            f"Whether {done} less often by {join_words(found.behind)} is not shown: {_TOO_FEW}."
        )
    level = []
    if found.level:
        level.append(f"about as often by {join_words(found.level)}")
    if found.behind and known:
        level.append(f"less often, but not clearly, by {join_words(found.behind)}")
    if found.ahead:
        level.append(f"more often, but not clearly, by {join_words(found.ahead)}")
    if level:
        reason = "this alone does not show that the maps find what matters" if known else _TOO_FEW
        said.append(f"{_capitalize(done)} {join_words(level)}: {reason}.")
    return said


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
