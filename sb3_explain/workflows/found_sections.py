"""Sections of what other commands have left in a page's folder, from ``diagnose`` on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import (
    array,
    flag,
    number,
    one_of,
    optional,
    read_document,
    record,
    table,
    text,
    whole,
)
from sb3_explain.common.untrusted import read_bounded
from sb3_explain.report.page import Picture, Point, Section
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.diagnosis.diagnose import diagnose
from sb3_explain.workflows.found_beside import SHEETS, read_picture

#: number of states of a diagnosis without a command, of features and of pictures
QUICK, QUICK_PICTURES = 500, 64
#: number of findings, and of bytes of a text, that a page shows
FINDINGS, TEXT_BYTES = 100, 2**18

_BOUND = optional(number())
_EVIDENCE = record({"mean": _BOUND, "low": _BOUND, "high": _BOUND, "n": whole()})
_FINDING = record(
    {
        "said": text(2000), "severity": one_of("fault", "warning"), "sure": text(100),
        "unit": text(1000), "next_step": text(2000), "evidence": _EVIDENCE,
    }
)  # fmt: skip
_DIAGNOSIS = record(
    {
        "findings": array(_FINDING, 0, FINDINGS), "looked_at": table(text(5000), 100),
        "not_looked_at": table(text(5000), 100), "states": whole(), "episodes": whole(),
    }
)  # fmt: skip
_LAYER = record(
    {"name": text(1000), "kind": text(200), "shape": array(whole(), 0, 10), "dead": number(0, 1)}
)
_FOLLOWING = record(
    {"concept": text(1000), "layer": text(1000), "unit": whole(), "r": number(-1.001, 1.001)}
)
_INSIDE = record(
    {"layers": array(_LAYER, 0, 10_000), "following": array(_FOLLOWING, 0, 10_000)},
)
_CLUSTER = record({"said": text(5000), "details": array(text(5000), 0, 10), "is_failure": flag})
_BEHAVIOR = record({"results": array(text(5000), 1, 10), "clusters": array(_CLUSTER, 1, 26)})
#: pictures of ``inside``, and what they show
INSIDE = {
    "attention": "What the layers of attention attend to, by attention rollout.",
    "linear_probes": "What each layer knows, by a linear probe in episodes that it was not fitted "
    "on, beside shuffled labels.",
    "past_steps": "Which of the steps before speak for what it does now.",
    "layers": "Units that say the same in all states, by layer.",
}
#: what the pictures of ``outcomes`` and ``objects`` show
BRANCHES = "The branches side by side, from the step where they part."
SCREEN = "The objects over the screen, and over a map."


def make_sections(folder: Path, agent: Agent, states: StateDataset) -> list[Section]:
    """Sum up what is wrong with an agent, and what else other commands found about it.

    Where ``diagnose`` left nothing, the agent is diagnosed on a few states, without playing.

    :param folder: output folder
    :param agent: the agent
    :param states: states that it played
    :return: sections of a page, as far as there is something to show
    :raises ExplainError: if a file is damaged
    """
    diagnosed = read_diagnosis(folder) or diagnose_quickly(agent, states)
    found = (
        diagnosed, read_inside(folder), read_tree(folder), read_behavior(folder),
        read_critical(folder),
        read_points(folder, "outcomes", "What if", BRANCHES),
        read_points(folder, "objects", "Objects", SCREEN, alt=SCREEN),
    )  # fmt: skip
    return [section for section in found if section is not None]


def diagnose_quickly(agent: Agent, states: StateDataset) -> Section:
    """Diagnose an agent on a few states, without playing.

    :param agent: the agent
    :param states: states that it played
    """
    n = QUICK_PICTURES if agent.layout.pictures else QUICK
    some = states.subset(states.spread(n))
    try:
        report = diagnose(agent, some, play=False, progress=False)
    except ExplainError as error:  # the page is of use without it
        return Section("diagnosis", "What is wrong", [f"this agent was not diagnosed: {error}"])
    section = show_diagnosis(report.to_dict())
    more = "nothing was played for this: sb3-explain diagnose plays trials and looks at more"
    return dataclasses.replace(section, summary=[*section.summary, more])


def read_diagnosis(folder: Path) -> Section | None:
    """Read what is wrong with the agent; ``None`` if nobody looked.

    :raises ExplainError: if ``diagnosis.json`` is damaged
    """
    path, remedy = folder / "diagnosis.json", "run `sb3-explain diagnose` again"
    if not path.exists():
        return None
    section = show_diagnosis(read_document(path, _DIAGNOSIS, remedy))
    if section.points:  # without findings the figure is of all that was measured
        drawn = read_pictures(folder / "diagnosis.png", "The evidence.", section.summary[0], remedy)
        section = dataclasses.replace(section, pictures=drawn)
    return dataclasses.replace(section, page=find_page(folder, "diagnosis.html"))


def show_diagnosis(said: Mapping[str, Any]) -> Section:
    """Show a diagnosis without its figures.

    :param said: the diagnosis as plain data
    """
    looked, skipped = said["looked_at"], said["not_looked_at"]
    places = (
        f"in {said['states']} states of {said['episodes']} episode(s), by {len(looked)} check(s)"
    )
    n = len(said["findings"])
    summary = f"{n} finding(s) {places}, the gravest first" if n else f"nothing found {places}"
    points = [
        Point(
            one["said"],
            [
                f"{one['severity']}, {one['sure']}: {write_evidence(one)}",
                f"next step: {one['next_step']}",
            ],
        )
        for one in said["findings"]
    ]
    facts = looked | {name: f"not looked at: {reason}" for name, reason in skipped.items()}
    return Section(
        "diagnosis", "What is wrong", [summary], points, facts=("What was looked at", facts)
    )


def write_evidence(finding: Mapping[str, Any]) -> str:
    """Say the number that a finding rests on, with its interval."""
    mean, low, high, n = (finding["evidence"][name] for name in ("mean", "low", "high", "n"))
    known = mean is not None and low is not None and high is not None
    span = f", 95 % interval {low:.3g} to {high:.3g}" if known and low < high else ""
    return f"{mean:.3g} {finding['unit']} (n = {n}{span})" if known else f"{finding['unit']}"


def read_inside(folder: Path) -> Section | None:
    """Read what is inside of the agent; ``None`` if nobody looked.

    :raises ExplainError: if ``inside.json`` or a picture is damaged
    """
    path, remedy = folder / "inside.json", "run `sb3-explain inside` again"
    if not path.exists():
        return None
    said = read_document(path, _INSIDE, remedy)
    layers = {
        one["name"]: f"{one['kind']}, {' x '.join(map(str, one['shape'])) or '1'}, "
        f"{one['dead']:.0%} dead units"
        for one in said["layers"]
    }
    points = [
        Point(f"{one['concept']}: unit {one['unit']} of {one['layer']} (r = {one['r']:+.2f})")
        for one in said["following"][:10]
    ]
    pictures = []
    for name, caption in INSIDE.items():
        pictures += read_pictures(folder / "inside" / f"{name}.png", caption, caption, remedy)
    for sheet in sorted((folder / "inside").glob("unit_*.png"))[:SHEETS]:
        layer, _, unit = sheet.stem.removeprefix("unit_").rpartition("_")
        caption = f"The states that excite unit {unit} of {layer} most."
        pictures += read_pictures(sheet, caption, caption, remedy)
    summary = [f"{len(layers)} layers"]
    if points:
        summary.append("the units that follow a concept most closely, in states that they were not "
                       "chosen by")  # fmt: skip
    return Section("inside", "Inside", summary, points, pictures, ("All layers", layers))


def read_tree(folder: Path) -> Section | None:
    """Read the policy as a decision tree; ``None`` if nobody distilled it.

    :raises ExplainError: if ``tree.txt`` or the picture is damaged
    """
    path, remedy = folder / "tree.txt", "run `sb3-explain tree` again"
    if not path.exists():
        return None
    results, _, rules = read_text(path, remedy).partition("\n\n")
    lines = results.splitlines()
    pictures = read_pictures(folder / "tree.png", "Its questions.", "; ".join(lines), remedy)
    return Section(
        "as-a-tree", "As a tree", lines, pictures=pictures, rules=rules.rstrip(),
        page=find_page(folder, "tree.html"),
    )  # fmt: skip


def read_behavior(folder: Path) -> Section | None:
    """Read the map of what the agent does; ``None`` if nobody drew it.

    :raises ExplainError: if ``behavior.json`` or the picture is damaged
    """
    path, remedy = folder / "behavior.json", "run `sb3-explain behavior` again"
    if not path.exists():
        return None
    said = read_document(path, _BEHAVIOR, remedy)
    clusters = sorted(said["clusters"], key=lambda one: not one["is_failure"])
    drawn = folder / "behavior.png"
    return Section(
        "behavior", "Map of behavior", said["results"],
        [Point(one["said"], one["details"]) for one in clusters],
        read_pictures(drawn, "Its states by cluster.", said["results"][0], remedy),
        page=find_page(folder, "behavior.html"),
    )  # fmt: skip


def read_critical(folder: Path) -> Section | None:
    """Read which steps of an episode are critical; ``None`` if nobody asked.

    :raises ExplainError: if ``critical.txt``, ``fidelity.txt`` or the picture is damaged
    """
    path, remedy = folder / "critical" / "critical.txt", "run `sb3-explain critical` again"
    if not path.exists():
        return None
    lines, measured = read_text(path, remedy).splitlines(), path.with_name("fidelity.txt")
    if measured.exists():
        lines += read_text(measured, remedy).splitlines()
    caption = "How critical each step of an episode is, and the most critical ones."
    drawn = read_pictures(path.with_name("critical.png"), caption, lines[0], remedy)
    return Section("critical-steps", "Critical steps", lines, pictures=drawn)


def read_points(
    folder: Path, name: str, heading: str, caption: str, *, alt: str = ""
) -> Section | None:
    """Read what a command found, a line each under the first; ``None`` if nobody asked.

    :param folder: output folder
    :param name: name of the command, of its folder and of its files
    :param heading: heading of the section
    :param caption: what its picture shows
    :param alt: description of the picture; the lines when not given
    :raises ExplainError: if the text or the picture is damaged
    """
    path, remedy = folder / name / f"{name}.txt", f"run `sb3-explain {name}` again"
    if not path.exists():
        return None
    head, *points = read_text(path, remedy).splitlines()
    drawn = read_pictures(path.with_suffix(".png"), caption, alt or "; ".join(points), remedy)
    return Section(name, heading, [head], list(map(Point, points)), drawn)


def read_text(path: Path, remedy: str) -> str:
    """Read a text that is not empty.

    :param path: path of the file
    :param remedy: what the user can do about a damaged one
    :raises ExplainError: if it is damaged, empty or too large
    """
    try:
        text = read_bounded(path, TEXT_BYTES).decode()
    except UnicodeDecodeError as error:
        raise ExplainError(f"{path} is damaged ({remedy})") from error
    if not text.strip():
        raise ExplainError(f"{path} is empty ({remedy})")
    return text


def read_pictures(path: Path, caption: str, alt: str, remedy: str) -> list[Picture]:
    """Read a picture, in a list; an empty one if it is not there."""
    return [Picture(read_picture(path, remedy), caption, alt)] if path.exists() else []


def find_page(folder: Path, name: str) -> str:
    """Address of a page of the folder; empty if it is not there."""
    return name if (folder / name).is_file() else ""
