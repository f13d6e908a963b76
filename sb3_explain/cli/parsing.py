"""Parsers of the command line and of its values."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from sb3_explain.common.errors import ExplainError, find_close_name, make_printable
from sb3_explain.common.numbers import LARGEST, parse_number
from sb3_explain.common.renamed import RENAMED


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; of an unknown flag, the nearest of the command is named."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = getattr(options, "parser", self)
            close = find_close_name(unknown[0], parser._option_string_actions)
            hint = f"; did you mean {close}?" if close is not None else ""
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return options

    def error(self, message: str) -> NoReturn:
        for flag in message.split():
            if flag.startswith("--") and flag in RENAMED:
                message = f"{flag} is called {RENAMED[flag][0]} now"
        line = make_printable(f"{self.prog}: {message} (see {self.prog} --help)")
        self.exit(2, f"{line}\n")


class Commands:
    """The commands of a parser, which have no options until their modules add them.

    :param top: parser of the whole command line
    :param lines: line of help of each command, by its name
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
        self,
        name: str,
        run: Callable[[argparse.Namespace], None],
        example: str = "",
        *,
        needs: Mapping[str, str] | None = None,
        folder_name: str = "",
    ) -> Parser:
        """Set the function that runs a command, and return the command's parser.

        :param name: name of the command
        :param run: function that is called with the options
        :param example: example of the options, for the end of the command's help
        :param needs: flags that the command needs, by the names of their options
        :param folder_name: name of the output folder where no agent is named; it may have options
            in braces
        :return: parser to which the command's options are added
        """
        sub = self.parsers[name]
        sub.epilog = f"example:\n  sb3-explain {name} {example}"
        sub.set_defaults(
            command=run, name=name, parser=sub, needs=dict(needs or {}), folder_name=folder_name
        )
        return sub


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return read_number(1, text)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return read_number(0, text)


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = parse_number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return number


def read_number(minimum: int, text: str, maximum: int = LARGEST) -> int:
    """A whole number from ``minimum`` to ``maximum``.

    :raises ArgumentTypeError: if the text is no such number
    """
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
    if number > maximum:
        raise argparse.ArgumentTypeError(f"{number} is above {maximum}")
    if number < minimum:
        raise argparse.ArgumentTypeError(f"{number} is below {minimum}")
    return number


def pick_given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The values of those named options that the user has set."""
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}


def read_key_values(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """Read pairs such as ``["mode:2", "name:'x'"]``, as rl-zoo3 writes them.

    :param pairs: texts ``KEY:VALUE``, whose values are Python literals
    :param flag: flag that the pairs belong to, for error messages
    :raises ExplainError: if a text is no such pair
    """
    from sb3_explain.agents.loading.expressions import read_expression

    read = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon:
            raise ExplainError(f"{pair!r} is no KEY:VALUE, for example difficulty:1")
        read[key] = read_expression(value, f"{flag} {key}")
    return read
