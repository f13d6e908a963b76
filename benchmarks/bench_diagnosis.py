"""Faults planted into agents that diagnose should name, and others that it should not blame.

Each fault is planted into three agents; it counts as named if it is among the first two findings.
A healthy agent's finding is listed, and is a false alarm unless what it says is true of the agent.
Of a weak agent, which trained too little, it should say this first, and no fault of its wiring.
``python benchmarks/bench_diagnosis.py [part of a name ...]`` measures some cases again; all of them
are kept in ``diagnosis.json``.
"""

import io
import json
import logging
import os
import sys
import warnings
from functools import cache
from pathlib import Path

from diagnosed_agents import PUBLISHED, TRAINED, WEAK, load_published, train
from PIL import Image
from planted_faults import FAULTS

from benchmarks.draw_how_to import save_small
from sb3_explain import Agent, diagnose

ROWS = Path(__file__).with_name("diagnosis.json")
TABLE = Path(__file__).parent.parent / "docs" / "tables" / "diagnosis.md"
#: the case whose evidence the documentation shows, and where
DRAWN = ("raw observations", "ppo MountainCar")
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "diagnosis.png"
#: what is measured of each agent, so that all cases take minutes
OPTIONS = {"n_states": 1500, "n_episodes": 8, "max_steps": 300, "progress": False}
#: the same of agents of pictures, whose passes take longer
FEWER = {"n_states": 600, "max_steps": 150}
#: findings of healthy agents that are true of them, and why
TRUE = {
    ("ppo CartPole, stacked", "constant features"): "its wrapper sets both speeds to 0",
    ("ppo CartPole, stacked 2", "constant features"): "its wrapper sets both speeds to 0",
}
#: findings that say that an agent has not learned its task, or plays it badly with greedy actions
UNTRAINED = {"earns no more than random actions", "greedy fails", "prefers nothing"}
#: faults of what an agent sees and of how its actions are taken, which no weak agent has
WIRING = {
    "NaN observations", "constant features", "observations out of range", "normalization",
    "frame order", "feature order", "action order", "masks are missing",
}  # fmt: skip
#: what stands in place of a planted fault for weak agents
WEAKNESS = "weak"


def published() -> dict[str, tuple[str, str]]:
    """Short name -> algorithm and environment of the published agents."""
    return {f"{algo} {env.partition('-')[0]}": (algo, env) for algo, env in PUBLISHED} | {
        "ppo Pong": ("ppo", "PongNoFrameskip-v4")
    }


@cache
def load(name: str) -> Agent:
    """A healthy or weak agent by its short name."""
    if name in TRAINED | WEAK:
        return Agent.from_model(train(name))
    folder = Path(os.environ["SB3_EXPLAIN_AGENTS"])
    return load_published(folder, *published()[name])


def list_cases() -> dict[str, tuple[str, str]]:
    """Name of each case -> fault, which is empty for the healthy agents, and agent."""
    healthy = [("", name) for name in [*published(), *TRAINED]]
    healthy += [(WEAKNESS, name) for name in WEAK]
    planted = [(fault, agent) for fault, one in FAULTS.items() for agent in one.agents]
    return {f"{fault or 'healthy'}: {agent}": (fault, agent) for fault, agent in healthy + planted}


def measure(fault: str, name: str) -> dict:
    """Diagnose one case."""
    agent, options = load(name), {}
    if fault in FAULTS:
        agent, options = FAULTS[fault].plant(agent)
    fewer = FEWER if agent.layout.pictures else {}
    report = diagnose(agent, **OPTIONS | fewer, **options)
    if (fault, name) == DRAWN:
        with Image.open(io.BytesIO(report.plot())) as drawn:
            save_small(drawn.convert("RGB"), PICTURE)
    findings = [one.name for one in report.findings]
    said = [f"{one.said} ({one.describe_evidence()})" for one in report.findings]
    faults = [one.name for one in report.findings if one.severity == "fault"]
    return {"fault": fault, "agent": name, "findings": findings, "faults": faults, "said": said,
            "looked_at": {name: look.said for name, look in report.looks.items()}}  # fmt: skip


def is_named(row: dict) -> bool:
    """Whether a planted fault is among the first two findings."""
    return bool(set(FAULTS[row["fault"]].names) & set(row["findings"][:2]))


def find_false(row: dict) -> list[str]:
    """Findings of a healthy agent that are not known to be true."""
    return [name for name in row["findings"] if (row["agent"], name) not in TRUE]


def find_accused(row: dict) -> list[str]:
    """Faults of its wiring of which a weak agent is accused."""
    return [name for name in row["faults"] if name in WIRING]


def names_weakness(row: dict) -> bool:
    """Whether the first finding says that an agent has not learned its task."""
    return row["findings"][:1] != [] and row["findings"][0] in UNTRAINED


def write_table(rows: list[dict]) -> str:
    """The tables of the documentation, in Markdown."""
    lines = ["| planted fault | agent | findings, the gravest first | named |", "|---|---|---|---|"]
    for row in rows:
        if row["fault"] in FAULTS:
            named = "yes" if is_named(row) else "**no**"
            found = ", ".join(row["findings"]) or "none"
            lines.append(f"| {row['fault']} | {row['agent']} | {found} | {named} |")
    lines += ["", "| healthy agent | findings | true of it |", "|---|---|---|"]
    for row in rows:
        if not row["fault"]:
            reasons = [TRUE.get((row["agent"], name), "**no**") for name in row["findings"]]
            lines.append(
                f"| {row['agent']} | {', '.join(row['findings']) or 'nothing found'} | "
                f"{'; '.join(reasons)} |"
            )
    lines += [
        "",
        "| weak agent | findings | said first | wrongly accused of |",
        "|---|---|---|---|",
    ]
    for row in rows:
        if row["fault"] == WEAKNESS:
            found, accused = (
                ", ".join(names) or none
                for names, none in (
                    (row["findings"], "nothing found"), (find_accused(row), "nothing"),
                )
            )  # fmt: skip
            first = "yes" if names_weakness(row) else "**no**"
            lines.append(f"| {row['agent']} | {found} | {first} | {accused} |")
    return "\n".join(lines) + "\n"


def read_rows() -> dict[str, dict]:
    """Rows by case, as they were measured last."""
    return {row["case"]: row for row in json.loads(ROWS.read_text())} if ROWS.exists() else {}


def replace(row: dict) -> None:
    """Write one row in place of an earlier one of its case."""
    rows = read_rows() | {row["case"]: row}
    ROWS.write_text(json.dumps(list(rows.values()), indent=1) + "\n")


def measure_all(parts: list[str]) -> list[dict]:
    """Measure the cases whose names have one of some parts, and keep the others as they were."""
    for case, (fault, name) in list_cases().items():
        if any(part in case for part in parts):
            row = {"case": case, **measure(fault, name)}
            print(case, row["findings"], flush=True)
            replace(row)
    found = read_rows()
    rows = [found[case] for case in list_cases() if case in found]
    TABLE.write_text(write_table(rows))
    return rows


def run(record) -> None:
    rows = measure_all([""])
    planted = [row for row in rows if row["fault"] in FAULTS]
    weak = [row for row in rows if row["fault"] == WEAKNESS]
    healthy = [row for row in rows if not row["fault"]]
    n_named = sum(map(is_named, planted))
    record("diagnosis.faults_named", n_named / len(planted), "share", "== 1")
    record("diagnosis.kinds", len({row["fault"] for row in planted}), "kinds", ">= 12")
    record("diagnosis.healthy", len(healthy), "agents", ">= 20")
    record("diagnosis.false_alarms", sum(map(len, map(find_false, healthy))), "findings", "<= 1")
    record("diagnosis.weak", len(weak), "agents", ">= 20")
    record("diagnosis.weak_accused", sum(map(len, map(find_accused, weak))), "faults", "== 0")
    record(
        "diagnosis.weak_told_first", sum(map(names_weakness, weak)) / len(weak), "share", ">= 0.8"
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    measure_all(sys.argv[1:] or [""])
