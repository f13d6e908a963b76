"""Messages that name arguments of Python functions, said in flags of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping

#: arguments whose flag has another name; of several, the one that the command has
OTHERS: dict[str, tuple[str, ...]] = {
    "collect_kwargs": ("--collecting",),
    "explainer_kwargs": ("--visionmask",),
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
    r"""(?<![\w'"./\\-])(?P<name>[a-z]\w*)(?:(?P<value>=(?:'(?P<word>[\w.-]+)')?)|(?![\w/\\'"]|\.\w))"""
)


def list_flags(parser: argparse.ArgumentParser) -> dict[str, str]:
    """List the flags of a command by the arguments that they stand for.

    :param parser: parser of the command
    """
    flags = {
        action.dest: next(
            (flag for flag in action.option_strings if flag.startswith("--")),
            action.option_strings[0],
        )
        for action in parser._actions
        if action.option_strings and action.nargs != 0
    }
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

    :param message: message of an error
    :param flags: flag by argument
    """

    def replace(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        if name not in flags or (value is None and "_" not in name):
            return found[0]
        return flags[name] + ("" if value is None else f" {found['word'] or ''}")

    return ARGUMENT.sub(replace, message)
