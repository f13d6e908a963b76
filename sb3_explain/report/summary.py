"""The summary of a report: what the metrics show, in words, and what they do not show."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sb3_explain.common.bootstrap import NARROW, NO_INTERVALS
from sb3_explain.common.controls import OWN_CONTROLS, list_controls
from sb3_explain.report.standing import compare_accuracy, compare_with_controls
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
    read_bounds,
    read_share,
    to_finite,
)


def summarize(
    table: Table,
    explainer: str,
    *,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    wording: Wording | None = None,
) -> list[str]:
    """Summarize the metrics of one explainer in sentences.

    The explainer is called better only where intervals do not overlap, and the sentences name the
    controls that do as well, and those that are ahead.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param controls: names of the controls; when not given, those of the table
    :param words: presentation of further metrics
    :param wording: words for the kind of agent; for one of pictures when not given
    """
    controls = list_controls(table) if controls is None else controls
    row = table.get(explainer, {})
    label = get_explainer_label(explainer)
    sentences = _describe_accuracies(table, explainer, controls, wording or Wording())
    for name in list_compared(row):
        said = get_metric_words(name, words, wording)
        sentences += compare_with_controls(table, explainer, name, said, controls)
    sentences += describe_own_controls(table, explainer, wording)
    sentences += describe_emptiness(row, label)
    if not sentences and any(read_bounds(row[name]) for name in row if name != "cost"):
        return [f"The metrics of {label} are in the table below."]
    return sentences or [f"No metric of {label} has been computed."]


def describe_own_controls(
    table: Table, explainer: str, wording: Wording | None = None
) -> list[str]:
    """Say where maps that know nothing of the state do as well as an explainer's own.

    Another state's map does as well where the intervals of both overlap and that of their paired
    difference, the specificity, is not above 0.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param wording: words for what is explained; the agent's action when not given
    :return: one sentence, or none
    """
    label = get_explainer_label(explainer)
    named = wording.named if wording else ""
    alike, mean_of = ("", named) if named else (" of an action", "an action")
    level = {control: _find_level(table, explainer, control) for control in OWN_CONTROLS}
    if level["swapped"]:
        also = f", and so does the mean map of {named or 'the action'}" * bool(level["template"])
        return [
            f"By {join_words(level['swapped'])}, the maps of {label} are much the same for every "
            f"state{alike}: another state's map does as well{also}."
        ]
    if level["template"]:
        return [
            f"By {join_words(level['template'])}, the mean map of {mean_of} does as well as the "
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


def describe_forced(table: Table, explainer: str, wording: Wording) -> list[str]:
    """Say that an explainer's maps of other actions make the agent take them, where they do.

    :param table: the ``explainers`` of metrics.json
    :param explainer: name of the explainer
    :param wording: words for the kind of agent
    :return: one sentence where its forced action is clearly above that of the random map, or none
    """
    own = table[explainer].get("forced_action")
    random = table.get("random", {}).get("forced_action")
    if own is None or random is None or not beats(random, own, "down"):
        return []
    few = wording.n_features is not None and wording.n_features <= FEW_FEATURES
    natural = "; this is natural where few features decide" * (few and not wording.pictures)
    return [
        f"Forced action of {get_explainer_label(explainer)} is {format_number(own['mean'])}, more "
        f"than of the random map ({format_number(random['mean'])}): its maps of other actions make "
        f"the agent take them{natural}."
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
#: metrics that are compared with the controls: of each kind the first that is measured
COMPARED = (
    ("insertion",),
    ("deletion", "pixel_flipping"),
    ("policy_preservation",),
    ("value_preservation",),
)
#: number of features, at most, of which a part makes any action likely
FEW_FEATURES = 10
#: number of features that a sentence names
MOST_NAMES = 8


def describe_states(states: Mapping[str, Any], table: Table) -> list[str]:
    """Say of the states what one has to know to read the metrics.

    :param states: the ``states`` of metrics.json
    :param table: the ``explainers`` of metrics.json
    """
    return describe_own_outcome(states, table) + describe_caution(states, table)


def describe_own_outcome(states: Mapping[str, Any], table: Table) -> list[str]:
    """Say what the agent does on the whole observations of the states.

    :param states: the ``states`` of metrics.json
    :param table: the ``explainers`` of metrics.json
    """
    sentences = []
    probability, wording = to_finite(states.get("own_probability")), Wording.read(states)
    if wording.action and wording.taken is not None:
        sentences.append(
            f"On the whole observations, the agent takes {wording.action} in "
            f"{format_percent(wording.taken)} of the states."
        )
    # every Box action is wholly similar to itself
    known = not wording.continuous and any("insertion" in row for row in table.values())
    if probability is not None and known:
        where = "There" if sentences else "On the whole observations,"
        surer = f"{wording.action} more probable" if wording.action else "the agent surer"
        above = any(
            (read_bounds(row[name]) or (0.0,))[0] > probability
            for row in table.values()
            for name in _find_family(row, "insertion")
        )
        reason = f": insertion above it comes from maps that make {surer} than it is" * above
        sentences.append(
            f"{where} the mean {wording.own_outcome} is {format_number(probability)}{reason}."
        )
    return sentences


def describe_caution(states: Mapping[str, Any], table: Table) -> list[str]:
    """Say why the metrics of these states tell less than they seem to.

    :param states: the ``states`` of metrics.json
    :param table: the ``explainers`` of metrics.json
    """
    note, sentences = states.get("note"), []
    if isinstance(note, str) and note:
        known = any(has_interval(row[n]) for row in table.values() for n in row if n != "cost")
        if not known:
            note = note.replace(NARROW, NO_INTERVALS)
        sentences.append(f"{note[0].upper()}{note[1:]}.")
    return sentences + describe_coverage(states)


def describe_coverage(states: Mapping[str, Any]) -> list[str]:
    """Say what the states do not show: features that never change, and what comes later.

    :param states: the ``states`` of metrics.json
    """
    sentences = describe_unchanging(states.get("never_change") or ())
    sentences += describe_precision(states.get("rank_correlation_float32") or {})
    for key, count in (states.get("squares_never_change") or {}).items():
        sentences.append(describe_unchanging_squares(key, *count[:2]))
    n_cut, limit = states.get("episodes_cut"), states.get("cut_after")
    if n_cut and limit:
        n = states.get("episodes_collected", n_cut)
        which = f"all {n:,}" if n == n_cut else f"{n_cut:,} of the {n:,}"
        sentences.append(
            f"Of {which} episodes only the first {limit:,} states were collected: what comes later "
            "is not in these figures. max_per_episode= (--max-per-episode) takes more, 0 all."
        )
    return sentences


def describe_precision(correlations: Mapping[str, float | None]) -> list[str]:
    """Say how far the maps of an agent in bfloat16 are from those in float32.

    :param correlations: mean rank correlation by explainer, see metrics.json
    :return: one sentence, or none
    """
    known = [(name, each) for name, each in correlations.items() if each is not None]
    if not known:
        return []
    said = ", ".join(f"{each:.3f} ({get_explainer_label(name)})" for name, each in known)
    return [
        "The agent computed in bfloat16. The rank correlation of its maps with those in float32 is "
        f"{said}."
    ]


def describe_unchanging(names: Sequence[str]) -> list[str]:
    """Say which features never change, so that nobody takes them for unimportant.

    :param names: their names
    :return: one sentence, or none
    """
    if not names:
        return []
    listed = list(names[:MOST_NAMES])
    if len(names) > MOST_NAMES:
        listed.append(f"{len(names) - MOST_NAMES} more features")
    change, them = ("changes", "it") if len(names) == 1 else ("change", "them")
    return [
        f"{join_words(listed)} never {change} in these states: nothing can be said about {them}."
    ]


def describe_unchanging_squares(key: str, n: int, total: int) -> str:
    """Say on how many squares of a board the same stands in all states.

    :param key: key of the board; empty if the observation is no dict
    :param n: number of the squares, at least 1
    :param total: number of all squares
    """
    board = f" of {key}" if key else ""
    which = f"All {total} squares{board} never change"
    if n < total:
        which = f"{n} of {total} squares{board} never change{'s' if n == 1 else ''}"
    return f"{which} in these states: nothing can be said about {'it' if n == 1 else 'them'}."


def list_compared(row: Mapping[str, Estimate]) -> list[str]:
    """List the metrics that a sentence compares with the controls: one of each kind.

    :param row: the metrics of an explainer
    """
    listed = []
    for kind in COMPARED:
        families = (_find_family(row, base) for base in kind)
        listed += next((family for family in families if family), [])
    return listed


def _find_family(row: Mapping[str, Estimate], base: str) -> list[str]:
    """Find a metric, or else its variants: of other shares or options."""
    if base in row:
        return [base]
    return [name for name in row if name.startswith((f"{base}@", f"{base} "))]


def _describe_accuracies(
    table: Table, explainer: str, controls: Collection[str], wording: Wording
) -> list[str]:
    """Say how often the agent does the same with masks, and with maps at each share."""
    every = [name for name in table.get(explainer, {}) if re.match("accuracy($|[@ ])", name)]
    plain = [name for name in every if " " not in name]  # the others are the same under options
    return [
        _describe_accuracy(table, explainer, name, controls, wording)
        for name in plain or every
        if read_bounds(table[explainer][name]) is not None
    ]


def _describe_accuracy(
    table: Table, explainer: str, name: str, controls: Collection[str], wording: Wording
) -> str:
    row, label = table[explainer], get_explainer_label(explainer)
    nearly = ", to a 20th of its range," if wording.continuous else ""
    mean, low, high = read_bounds(row[name]) or (0.0, 0.0, 0.0)
    n = row[name].get("n")
    states = f"the {n:,} states" if isinstance(n, int) else "the states"
    span = f" (interval {100 * low:.1f} to {100 * high:.1f}\N{NO-BREAK SPACE}%)"
    span = span if high > low else ""
    share = read_share(name)
    if share is None:
        area = read_bounds(row.get("mask_area"))
        part = format_percent(area[0]) if area else "part"
        explained = wording.action or "the agent's action"
        nearly = ", to a 20th of its range," if wording.continuous else ""
        text = (
            f"{label} keeps {explained}{nearly} in "
            f"{format_percent(mean)} of {states}{span} while showing it {part} of the observation."
        )
        if wording.action and not wording.continuous:
            text = (
                f"Shown the {part} of the observation that the masks of {label} keep, the agent "
                f"{wording.done} in {format_percent(mean)} of {states}{span}."
            )
    else:
        text = (
            f"Shown only {wording.part(share)} that {label} marks highest, the agent "
            f"{wording.done} in {format_percent(mean)} of {states}{span}."
        )
    said = [text]
    blind = read_bounds(table.get("empty", {}).get(name)) if "empty" in controls else None
    if blind:
        as_often = format_percent(blind[0])
        said.append(f"Shown nothing at all, it {wording.done} in {as_often}.")
    compared = compare_accuracy(table, explainer, name, controls, wording.is_done)
    return " ".join([*said, *compared])
