"""``sb3-explain view``: a page of a store of any size, served on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from sb3_explain.cli.flags import add_agent_flags, add_target_flag, load_named_agent
from sb3_explain.cli.parsing import Commands, not_negative
from sb3_explain.workflows.live.view import find_store, open_live
from sb3_explain.workflows.whole_episodes import STORES


def add_commands(commands: Commands) -> None:
    """Add the options of ``view``."""
    sub = commands.add("view", run_view, "out")
    sub.add_argument(
        "output",
        type=Path,
        metavar="FOLDER",
        help="output folder of `explain`, `highlights` or `collect`",
    )
    add_agent_flags(sub)
    group = sub.add_argument_group("view")
    group.add_argument(
        "--states", choices=STORES,
        help=f"folder of the states within it (default: {STORES[0]} if it is there)",
    )  # fmt: skip
    add_target_flag(sub)
    group.add_argument(
        "--host", default="127.0.0.1",
        help="address to bind to; one that other machines can reach gets a token (default: "
        "127.0.0.1, this machine alone)",
    )  # fmt: skip
    group.add_argument(
        "--port", type=not_negative, default=0, help="port (default: any that is free)"
    )


def run_view(options: argparse.Namespace) -> None:
    """``sb3-explain view``"""
    find_store(options.output, options.states)  # before the agent, which takes seconds
    server = open_live(
        load_named_agent(options), options.output, states=options.states, target=options.target,
        host=options.host, port=options.port,
    )  # fmt: skip
    print(f"open    {server.address}   (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nended", flush=True)
    finally:
        server.server_close()
