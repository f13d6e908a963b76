"""``sb3-explain hub push`` and ``sb3-explain hub pull``"""

from __future__ import annotations

import argparse
from pathlib import Path

from sb3_explain.cli.flags import ZOO_AGENT, add_agent_flags, load_named_agent
from sb3_explain.cli.parsing import Commands
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import read_json
from sb3_explain.workflows.hub import from_hub, kinds, push_to_hub

#: pictures on a card at most
PICTURES = 6


def add_commands(commands: Commands) -> None:
    """What is shared, of which agent, and where it lies."""
    sub = commands.add(
        "hub",
        run_hub,
        f"push somebody/visionmask-pong {ZOO_AGENT} -o out",
    )
    sub.add_argument("direction", choices=["push", "pull"], help="to the Hub, or from it")
    sub.add_argument("repo_id", help="organization/name")
    add_agent_flags(sub)
    sub.add_argument(
        "-o", "--output", type=Path, required=True,
        help="folder of `explain` or `probe` to push from; to pull into",
    )  # fmt: skip
    sub.add_argument("--kind", help="what to push, if the folder holds several: visionmask, ...")
    sub.add_argument("--at", metavar="REVISION", help="branch to push to; any revision to pull")
    sub.add_argument("--private", action="store_true", help="if the repository is made")


def run_hub(options: argparse.Namespace) -> None:
    """``sb3-explain hub``"""
    agent = load_named_agent(options)
    if options.direction == "pull":
        learned = from_hub(options.repo_id, agent, revision=options.at)
        learned.save(options.output / learned.name)
        print(options.output / learned.name)
        return
    kind = find_kind(options.output, options.kind)
    learned = kinds()[kind].load(options.output / kind, agent)
    metrics = options.output / "metrics.json"
    pictures = sorted((options.output / "maps").glob("*.png"))
    pictures = pictures or sorted((options.output / "probes").glob("*.png"))
    address = push_to_hub(
        learned,
        options.repo_id,
        evaluation=read_json(metrics) if metrics.exists() and kind != "generator" else None,
        pictures={path.stem: path.read_bytes() for path in pictures[:PICTURES]},
        load_agent=write_loading_code(options),
        private=options.private,
        revision=options.at,
    )
    print(address)


def find_kind(folder: Path, chosen: str | None) -> str:
    """The name of what a folder holds.

    :raises ExplainError: if it holds nothing, or several things and none is chosen
    """
    found = [kind for kind in kinds() if (folder / kind / f"{kind}.json").exists()]
    if chosen is not None:
        found = [kind for kind in found if kind == chosen]
    if len(found) != 1:
        there = f"holds {' and '.join(found)}: choose by --kind" if found else "holds none"
        raise ExplainError(f"{folder} {there} (of {', '.join(kinds())})")
    return found[0]


def write_loading_code(options: argparse.Namespace) -> str:
    """How another person loads the agent, as Python code."""
    if options.organization is not None:
        where = f'organization="{options.organization}"'
        where += f', revision="{options.revision}"' if options.revision else ""
    else:
        where = 'folder="logs"'  # wherever theirs lies
    return f'agent = load_agent("{options.algo}", "{options.env}", {where})'
