"""``sb3-explain hub push`` and ``pull``: fitted explainers, generators and pages on the Hub."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from sb3_explain.agents.agent import Agent
from sb3_explain.cli.flags import ZOO_AGENT, add_agent_flags, load_named_agent
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import max_bytes, read_bounded
from sb3_explain.explainers.base import Explainer
from sb3_explain.report.measured import read_metrics
from sb3_explain.workflows.export import export
from sb3_explain.workflows.hub import REPLAY, from_hub, list_kinds, push_to_hub
from sb3_explain.workflows.hub_space import push_space
from sb3_explain.workflows.model_card import Learned

#: largest number of pictures on a model card
PICTURES = 6


def add_commands(commands: Commands) -> None:
    """Add the options of ``hub``."""
    sub = commands.add(
        "hub",
        run_hub,
        f"push somebody/visionmask-pong {ZOO_AGENT} -o out\n  sb3-explain hub push --space "
        "somebody/pong -o out",
    )
    sub.add_argument(
        "direction",
        choices=["push", "pull"],
        metavar="push|pull",
        help="upload to the Hub, or download",
    )
    sub.add_argument(
        "repo_id", nargs="?", help="name of the repository of what was fitted, organization/name"
    )
    sub.add_argument(
        "--space", metavar="REPO_ID",
        help="upload the page of the folder as a static Space of this name, organization/name",
    )  # fmt: skip
    add_agent_flags(sub)
    sub.add_argument(
        "-o", "--output", type=Path,
        help="output folder of `explain` or `probe`, to upload from or download into (default: "
        "that of the agent's name)",
    )  # fmt: skip
    sub.add_argument("--kind", help="what to push if the folder holds several: visionmask, ...")
    sub.add_argument("--at", metavar="REVISION", help="branch to push to, or revision to pull")
    sub.add_argument(
        "--private", action="store_true", help="create the repository as a private one"
    )


def run_hub(options: argparse.Namespace) -> None:
    """``sb3-explain hub``"""
    if options.direction == "pull" and options.space is not None:
        raise ExplainError("--space uploads a page: leave it out, or push")
    if options.repo_id is None and options.space is None:
        raise ExplainError("name the repository, organization/name, or a Space by --space")
    if options.space is not None:
        print(
            push_space(options.output, options.space, private=options.private, revision=options.at)
        )
    if options.repo_id is not None:
        move_learned(options)


def move_learned(options: argparse.Namespace) -> None:
    """Upload what was fitted, or download it."""
    agent = load_named_agent(options)
    if options.direction == "pull":
        learned = from_hub(options.repo_id, agent, revision=options.at)
        learned.save(options.output / learned.name)
        say_end(options.output / learned.name, "explain", "-o", str(options.output))
        return
    kind = find_kind(options.output, options.kind)
    learned = list_kinds()[kind].load(options.output / kind, agent)
    metrics = options.output / "metrics.json"
    pictures = sorted((options.output / "attributions").glob("*.png"))
    pictures = pictures or sorted((options.output / "probes").glob("*.png"))
    with tempfile.TemporaryDirectory() as temporary:
        address = push_to_hub(
            learned,
            options.repo_id,
            evaluation=read_metrics(metrics) if metrics.exists() and kind != "generator" else None,
            pictures={path.stem: read_bounded(path, max_bytes()) for path in pictures[:PICTURES]},
            replay=make_replay(agent, learned, options.output, Path(temporary) / REPLAY),
            load_agent=write_loading_code(options),
            private=options.private,
            revision=options.at,
        )
    print(address)


def make_replay(agent: Agent, learned: Learned, output: Path, path: Path) -> Path | None:
    """Write a video of the agent's best episode, with the maps of what is uploaded.

    :param agent: the agent
    :param learned: what is uploaded
    :param output: folder of the episodes
    :param path: path of the video
    :return: the path; ``None``, and a line that says why, where there is nothing to show
    """
    explainer = learned if isinstance(learned, Explainer) else None
    try:
        export(agent, output, path, explainer=explainer, episode="best")
    except ExplainError as error:
        print(f"no {REPLAY}: {error}", file=sys.stderr)
        return None
    return path


def find_kind(folder: Path, chosen: str | None) -> str:
    """Find what an output folder holds that can be pushed.

    :param folder: output folder of ``explain`` or ``probe``
    :param chosen: what to push; ``None`` if the folder holds only one thing
    :raises ExplainError: if the folder holds nothing, or several things and none is chosen
    """
    found = [kind for kind in list_kinds() if (folder / kind / f"{kind}.json").exists()]
    if chosen is not None:
        found = [kind for kind in found if kind == chosen]
    if len(found) != 1:
        there = f"holds {' and '.join(found)}: choose by --kind" if found else "holds none"
        raise ExplainError(f"{folder} {there} (of {', '.join(list_kinds())})")
    return found[0]


def write_loading_code(options: argparse.Namespace) -> str:
    """Python code by which other people load the agent, for the model card."""
    if options.demo:
        return "from sb3_explain import demo_agent\n\nagent = demo_agent()"
    if options.organization is not None:
        where = f'organization="{options.organization}"'
        where += f', revision="{options.revision}"' if options.revision else ""
    else:
        where = 'folder="logs"'  # their own folder of agents
    return f'agent = load_agent("{options.algo}", "{options.env}", {where})'
