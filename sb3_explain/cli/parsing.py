"""How words of the command line are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.renamed import RENAMED


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        for flag in message.split():
            if flag.startswith("--") and flag in RENAMED:
                message = f"{flag} is called {RENAMED[flag][0]} now"
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


class Commands:
    """The commands of a parser. They have no options until their module adds them.

    :param top: the parser
    :param lines: the name of each command, and a line of help
    """

    def __init__(self, top: Parser, lines: Mapping[str, str]) -> None:
        subparsers = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
        self.parsers: dict[str, Parser] = {
            name: subparsers.add_parser(
                name,
                help=line,
                description=f"{line[0].upper()}{line[1:]}.",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            for name, line in lines.items()
        }

    def add(
        self, name: str, run: Callable[[argparse.Namespace], None], example: str = ""
    ) -> Parser:
        """Say what a command runs, and return its parser, which takes its options.

        :param name: what the user types
        :param run: called with the options
        :param example: options, as they are typed, for the end of the command's help
        """
        sub = self.parsers[name]
        sub.epilog = f"example:\n  sb3-explain {name} {example}"
        sub.set_defaults(command=run)
        return sub


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return read_number(1, text)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return read_number(0, text)


def read_number(minimum: int, text: str) -> int:
    """:raises ArgumentTypeError: if ``text`` is no whole number, or below ``minimum``"""
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
    if number < minimum:
        raise argparse.ArgumentTypeError(f"{number} is below {minimum}")
    return number


def pick_given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that the user has set."""
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}


def read_key_values(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """``["mode:2", "name:'x'"]`` as the zoo writes them; values are literals.

    :raises ExplainError: if a pair is none
    """
    from sb3_explain.agents.loading.expressions import read_expression

    read = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon:
            raise ExplainError(f"{pair!r} is no KEY:VALUE, for example difficulty:1")
        read[key] = read_expression(value, f"{flag} {key}")
    return read
