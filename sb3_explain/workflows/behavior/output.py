"""A behavior map as sentences, a table, a page, and plain data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import atomic_path, write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.report.behavior_figure import DrawnBehavior, behavior_figure
from sb3_explain.report.behavior_page import ShownCluster, write_behavior_page
from sb3_explain.report.figures import save
from sb3_explain.report.page import make_title
from sb3_explain.report.words import MISSING
from sb3_explain.workflows.behavior.behavior import Behavior
from sb3_explain.workflows.behavior.clusters import WAY, BehaviorCluster
from sb3_explain.workflows.behavior.transitions import share_exits
from sb3_explain.workflows.state_sheet import draw_states

#: what dots may be colored by, and the name of its column
COLORS = {"value": "value", "return": "return_to_come"}
#: mean silhouette below which clusters run into each other
CLEAR = 0.25


def write_results(found: Behavior) -> list[str]:
    """Write what was found, in sentences without their periods."""
    k, silhouettes = len(found.clusters), found.clustering.silhouettes
    how = f"mean silhouette {silhouettes[k]:.2f}"
    if len(silhouettes) > 1:
        how += f", the highest of {min(silhouettes)} to {max(silhouettes)} clusters"
    if silhouettes[k] < CLEAR:
        how += "; they run into each other, so where one ends and the next begins means little"
    n_episodes = len(np.unique(found.states.episode))
    by = f"what {found.layer} says" if found.layer else "the inputs of its last layer"
    return [
        f"{len(found.states):,} states of {n_episodes} episodes in {k} clusters by {by} ({how})",
        write_failures(found),
    ]


def write_failures(found: Behavior) -> str:
    """Say how many episodes failed, and in which clusters."""
    endings = found.endings
    if not len(endings.last):
        return "no whole episode is over, so none is known to have failed: play more"
    if endings.limit is None:
        return f"{len(endings.last)} episode(s) are over, and their returns tell none apart"
    n_failed = int(endings.failed.sum())
    said = (
        f"{n_failed} of {len(endings.last)} episodes failed (return below {endings.limit:.4g}; "
        f"the worst {np.nanmin(endings.returns):.4g}, the best {np.nanmax(endings.returns):.4g})"
    )
    named = [
        f"{one.name} ({one.n_failed} of {one.n_ended} that end there)"
        for one in found.clusters
        if one.is_failure
    ]
    if named:
        return f"{said}; clusters of failure: {', '.join(named)}"
    return f"{said}; in no cluster do those that end there fail more often than all"


def list_row(one: BehaviorCluster, *, continuous: bool) -> dict[str, str]:
    """A row of the table, by the heads of its columns."""
    ways = ", ".join(f"{name} {share:.0%}" for name, share in one.following.items() if share >= WAY)
    return {
        "states": f"{one.share:.1%}",
        "value": write_number(one.value),
        "return to come": write_number(one.return_to_come),
        "mean action" if continuous else "actions": one.describe_actions(continuous=continuous),
        "stays": MISSING if one.stays is None else f"{one.stays:.1%}",
        "then": ways or MISSING,
        "ends": str(one.n_ended),
        "failed": f"{one.n_failed}{' (failure)' if one.is_failure else ''}",
    }


def write_number(number: float | None) -> str:
    """Write a number, or a dash."""
    return MISSING if number is None else f"{number:.3g}"


def make_table(found: Behavior) -> Any:
    """Make a pandas.DataFrame with a row for each cluster."""
    from sb3_explain.common.whole_table import WholeTable

    rows = [
        {"cluster": one.name, **list_row(one, continuous=found.is_continuous)}
        for one in found.clusters
    ]
    return WholeTable(rows)


def arrange(found: Behavior, color: str | None = None) -> DrawnBehavior:
    """Return what is drawn of a map; ``color`` is that of :meth:`BehaviorMap.plot`."""
    known = [name for name, column in COLORS.items() if column in found.columns]
    if color is not None and color not in COLORS:
        raise unknown_name("color", color, COLORS)
    if color is not None and color not in known:
        raise ExplainError(
            f"these states have no {color}: color by {' or '.join(known) or 'cluster alone'}"
        )
    shown = color or next(iter(known), None)
    return DrawnBehavior(
        f"{len(found.states):,} states, {len(found.clusters)} clusters",
        found.clustering.points,
        found.labels,
        [one.name for one in found.clusters],
        share_exits(found.transitions),
        [one.is_failure for one in found.clusters],
        [
            f"{one.share:.0%} of states; {one.describe_actions(continuous=found.is_continuous)}"
            f"{'; a cluster of failure' if one.is_failure else ''}"
            for one in found.clusters
        ],
        None if shown is None else found.columns[COLORS[shown]],
        {"value": "value", "return": "return to come", None: ""}[shown],
    )


def to_dict(found: Behavior) -> dict[str, Any]:
    """Return the map as plain data, as ``behavior.json`` has it."""
    endings = found.endings
    return {
        "results": write_results(found),
        "layer": found.layer,
        "embedding": found.embedding,
        "silhouettes": {str(k): one for k, one in found.clustering.silhouettes.items()},
        "explained": found.clustering.explained,
        "clusters": [
            {
                **dataclasses.asdict(one),
                "said": f"{one.name}: {one.share:.0%} of the states, "
                f"{one.describe_actions(continuous=found.is_continuous)}",
                "details": list_sentences(one),
                "examples": [int(found.states.indices[at]) for at in one.examples],
            }
            for one in found.clusters
        ],
        "transitions": found.transitions.tolist(),
        "failed_below": endings.limit,
        "labels": found.labels.tolist(),
        "points": found.clustering.points.round(4).tolist(),
        "agent": found.agent.describe(),
    }  # fmt: skip


def list_sentences(one: BehaviorCluster) -> list[str]:
    """Say of a cluster what sets it apart, where its steps lead, and how episodes end there."""
    said = [f"set apart by {', '.join(one.traits)}"] if one.traits else []
    return [*said, one.describe_ways(), one.describe_endings()]


def save_map(found: Behavior, folder: Path) -> Path:
    """Write the page, the picture, the table and the data into a folder.

    :param found: the map
    :param folder: the folder
    :return: path of the page
    """
    made, continuous = describe_machine(), found.is_continuous
    write_json(folder / "behavior.json", {**to_dict(found), "made": made})
    save(folder / "behavior.png", behavior_figure(arrange(found)))
    with atomic_path(folder / "behavior.csv") as temporary:
        make_table(found).to_csv(temporary, index=False)
    shown = []
    for one in found.clusters:
        said = list_sentences(one)
        row = list_row(one, continuous=continuous)
        sheet = draw_states(found.agent, found.states, np.array(one.examples))
        heading = f"{one.name}: {one.share:.0%} of the states, "
        heading += one.describe_actions(continuous=continuous)
        ways = {name: f"{share:.0%}" for name, share in one.following.items() if share >= WAY}
        shown.append(ShownCluster(one.name, heading, said, list(row.values()), ways, sheet))
    heads = list(list_row(found.clusters[0], continuous=continuous))
    axes = "t-SNE" if found.embedding == "tsne" else (
        f"the two first principal components ({found.clustering.explained:.0%} of the variance)"
    )  # fmt: skip
    agent = found.agent.describe()
    return write_behavior_page(
        folder / "behavior.html",
        title=make_title(agent),
        date=made["date"],
        results=write_results(found),
        drawn=arrange(found),
        caption=f"Each dot is a state, placed by {axes}. Arrows: where a cluster is left for, the "
        "wider the more often. A red ring: a cluster of failure.",
        heads=heads,
        clusters=shown,
        provenance={"Agent": agent, "States": found.states.provenance, "Made with": made},
    )  # fmt: skip
