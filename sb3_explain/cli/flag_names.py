"""Messages that name arguments of Python functions, said in flags of the command line."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

#: arguments whose flag has another name; of several, the one that the command has
OTHERS: dict[str, tuple[str, ...]] = {
    "collect_kwargs": ("--collecting",),
    "explainer_kwargs": ("--visionmask",),
    "background_folder": ("--backgrounds",),
    "fit_kwargs": ("--training",),
    "generator_kwargs": ("--generator",),
    "explainers": ("--explainer", "--explainers"),
    "metrics": ("--metrics",),
    "n_participants": ("--participants",),
    "n_episodes": ("--goggles", "--n-episodes"),
    "n_regions": ("--regions",),
    "n_samples": ("--samples",),
    "timesteps": ("--n-timesteps",),
    "trusted": ("--trust",),
}

#: a name that may be an argument, alone or before its value; not in quotes, paths or longer names
ARGUMENT = re.compile(
    r"""(?<![\w'"./\\-])(?P<name>[a-z]\w*)(?:=(?P<value>'[\w.-]+'|\[[^\[\]]*\]|(?:True|False)\b|)"""
    r"""|(?![\w/\\'"]|\.\w))"""
)
#: a word of a value, in quotes that no shell needs
WORD = re.compile(r"'([\w.:-]+)'")
#: an argument beside the flag that a page names as well, whose readers may use either
BESIDE_FLAG = re.compile(r"\b[a-z]\w*=, (?=-)")
#: what no flag says
PYTHON_ONLY = ", and list_explainers(agent) names all that do"
#: what an argument of an earlier command is here, which made the folder
EARLIER = {"render=False": "--no-render"}


def list_flags(parser: argparse.ArgumentParser) -> dict[str, str]:
    """List the flags of a command by the arguments that they stand for.

    A flag without a value stands for a value of its argument, such as ``"render=False"``.

    :param parser: parser of the command
    """
    flags = EARLIER | {
        action.dest: next(
            (flag for flag in action.option_strings if flag.startswith("--")),
            action.option_strings[0],
        )
        for action in parser._actions
        if action.option_strings and action.nargs != 0
    }
    for action in parser._actions:
        if isinstance(getattr(action, "const", None), bool):
            flags[f"{action.dest}={action.const}"] = action.option_strings[0]
    known = set(parser._option_string_actions)
    for name, others in OTHERS.items():
        found = [flag for flag in others if flag in known]
        if found:
            flags[name] = found[0]
    return flags


def say_flags(message: str, flags: Mapping[str, str]) -> str:
    """Name flags where a message names arguments.

    A name is taken for an argument where a value follows it (``seed=-1``), or if it has an
    underscore, which no word has; not within quotes, paths and longer names.

    >>> say_flags("n_states=0, seed=-1: leave out fit_kwargs", {
    ...     "n_states": "--n-states", "seed": "--seed", "fit_kwargs": "--training"})
    '--n-states 0, --seed -1: leave out --training'
    >>> say_flags("not fitted: give fit='visionmask'", {"fit": "--fit"})
    'not fitted: give --fit visionmask'
    >>> say_flags("render=False, trusted=['mine']", {
    ...     "render=False": "--no-render", "trusted": "--trust"})
    '--no-render, --trust mine'

    :param message: message of an error
    :param flags: flag by argument
    """

    message = message.replace(PYTHON_ONLY, "")

    def replace(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        if value is None and "_" not in name:
            return found[0]
        switch = flags.get(f"{name}={value or True}")
        if switch is not None:
            return switch
        if name not in flags:
            return found[0]
        if value is None:
            return flags[name]
        if not value:  # its value follows, or none does
            follows = re.match(r"[\w'-]|\.\d", message[found.end() :]) is not None
            return flags[name] + " " * follows
        words = {"False": "no", "[...]": ""}.get(value, value.strip("[]").replace(", ", " "))
        return flags[name] + (words and " ") + WORD.sub(r"\1", words)

    return ARGUMENT.sub(replace, BESIDE_FLAG.sub("", message))


class FlagFormatter(logging.Formatter):
    """Says warnings in flags of a command.

    :param flags: flag by argument
    """

    def __init__(self, flags: Mapping[str, str]) -> None:
        super().__init__()
        self.flags = flags

    def format(self, record: logging.LogRecord) -> str:
        return say_flags(super().format(record), self.flags)


@contextmanager
def warning_in_flags(options: argparse.Namespace) -> Iterator[None]:
    """While it lasts, warnings of this package name the flags of a command.

    :param options: options of the command
    """
    if not hasattr(options, "parser"):  # of rl-zoo3
        yield
        return
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(FlagFormatter(list_flags(options.parser)))
    logger = logging.getLogger(__name__.partition(".")[0])
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
