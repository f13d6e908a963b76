"""``sb3-explain export``: steps of an agent as a video, a GIF, frames, or a Rerun recording."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from sb3_explain.cli.flags import (
    add_agent_flags,
    add_result_flags,
    add_target_flag,
    load_named_agent,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.overlay_styles import OVERLAY_STYLES
from sb3_explain.workflows.export import export

#: suffix of what each flag writes, and its name in the output folder where none is given
KINDS = {
    "video": (".mp4", "video.mp4"),
    "gif": (".gif", "video.gif"),
    "frames": ("", "frames"),
    "rerun": (".rrd", "recording.rrd"),
}


def add_commands(commands: Commands) -> None:
    """Add the options of ``export``."""
    sub = commands.add(
        "export",
        run_export,
        "-o out --video\n  sb3-explain export -o out --gif pong.gif --n-steps 60 --episode best",
    )
    add_agent_flags(sub)
    add_result_flags(sub, seed=False)
    written = sub.add_argument_group("what is written", "one or several of")
    for flag, what in (
        ("video", "MP4"), ("gif", "animated GIF, for a README"), ("rerun", "recording for Rerun"),
    ):  # fmt: skip
        name = KINDS[flag][1]
        written.add_argument(
            f"--{flag}", nargs="?", const="", metavar="FILE",
            help=f"{what} (default: {name} in the output folder)",
        )  # fmt: skip
    written.add_argument(
        "--frames", nargs="?", const="", metavar="DIR",
        help="folder of PNGs, maps and a table of numbers (default: frames in the output folder)",
    )  # fmt: skip
    chosen = sub.add_argument_group("steps")
    chosen.add_argument(
        "--episode", default="worst", metavar="N",
        help="number of the episode, or worst or best by its return (default: worst)",
    )  # fmt: skip
    chosen.add_argument(
        "--start", type=not_negative, metavar="N",
        help="number of the first step (default: the end of the episode is shown)",
    )  # fmt: skip
    chosen.add_argument(
        "--n-steps", type=positive, help="number of steps (default: 300; 100 of a GIF alone)"
    )
    add_target_flag(sub)
    drawn = sub.add_argument_group("maps")
    drawn.add_argument(
        "--explainer", metavar="NAME",
        help="explainer of the maps; one that learns must be in the output folder (default: the "
        "first one on the page)",
    )  # fmt: skip
    drawn.add_argument(
        "--style", default="heat", help=f"{', '.join(OVERLAY_STYLES)} (default: heat)"
    )
    drawn.add_argument("--fps", type=float, default=15, help="steps per second (default: 15)")
    drawn.add_argument(
        "--height", type=positive, help="height of the game in pixels (default: 640; 420 of a GIF)"
    )


def run_export(options: argparse.Namespace) -> None:
    """``sb3-explain export``"""
    paths = list_paths(options)
    made = export(
        load_named_agent(options),
        options.output,
        *paths,
        episode=int(options.episode) if options.episode.isdecimal() else options.episode,
        **pick_given(
            options, "explainer", "target", "start", "n_steps", "style", "fps", "height",
            "progress",
        ),
    )  # fmt: skip
    print(made)
    first = made.paths[0]
    if first.suffix == KINDS["rerun"][0]:  # which no browser shows
        print(f"open    rerun {shlex.quote(str(first))}")
    else:
        say_end(first)


def list_paths(options: argparse.Namespace) -> list[Path]:
    """List the paths that are to be written.

    :raises ExplainError: if there are none, or one has the suffix of another kind
    """
    paths = []
    for flag, (suffix, name) in KINDS.items():
        given = getattr(options, flag)
        if given is None:
            continue
        path = Path(given) if given else options.output / name
        if path.suffix != suffix:
            fitting = f"a path that ends in {suffix}" if suffix else "a folder without a suffix"
            raise ExplainError(f"--{flag} {given}: give {fitting}")
        paths.append(path)
    if not paths:
        raise ExplainError("give --video, --gif, --frames or --rerun, or several of them")
    return paths
