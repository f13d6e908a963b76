"""The command line, with the zoo's flag names: a module for each command, or few that are alike."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sb3_explain.cli import evaluate, explain, highlights, hub, listing, probe, train, why
from sb3_explain.cli.parsing import Commands, Parser
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import writing_to


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: of the command line; the process's own when not given
    :return: exit code: 0, 2 after a mistake, 130 after Ctrl-C
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if train.is_of_zoo(given):
        options = argparse.Namespace(command=train.run_zoo, given=given)
    else:
        options = parser().parse_args(given)
    command: Callable[[argparse.Namespace], None] = options.command
    output = getattr(options, "output", None)
    try:
        with writing_to(Path(output or ".")):
            command(options)
    except ExplainError as error:
        print(f"sb3-explain: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        kept = f"what is finished is kept in {output}; " if output is not None else ""
        again = "run the same command again to go on"
        print(f"\nsb3-explain: interrupted; {kept}{again}", file=sys.stderr)
        return 130
    return 0


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="sb3-explain", description="Explain agents of Stable-Baselines3.")
    commands = Commands(top)
    for module in (explain, evaluate, why, probe, highlights, train, hub, listing):
        module.add_commands(commands)
    return top
