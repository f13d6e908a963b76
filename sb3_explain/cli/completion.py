"""``--print-completion``: what a shell needs to complete commands and flags."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from sb3_explain.common.errors import ExplainError

SHELLS = ("bash", "zsh", "tcsh")


class PrintCompletion(argparse.Action):
    """Prints the completion of a shell, for which the options of all commands are read.

    :param add_all: function that adds the options of all commands
    """

    def __init__(self, *args: Any, add_all: Callable[[], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self.add_all = add_all

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        """Print it, and end.

        :raises ExplainError: if shtab is not installed
        """
        try:
            shtab = importlib.import_module("shtab")
        except ImportError as error:
            raise ExplainError("completion needs shtab: pip install shtab") from error
        self.add_all()
        print(shtab.complete(parser, shell=arguments[1]))
        parser.exit(0)
