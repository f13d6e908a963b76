"""The command line, with rl-zoo3's flags: one module for each command or group of commands."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sb3_explain import __version__
from sb3_explain.cli.completion import SHELLS, PrintCompletion
from sb3_explain.cli.flag_names import list_flags, say_flags, warning_in_flags
from sb3_explain.cli.outputs import prepare
from sb3_explain.cli.parsing import Commands, Parser
from sb3_explain.cli.zoo import is_of_zoo, run_zoo
from sb3_explain.common.errors import ExplainError, make_printable, unknown_name
from sb3_explain.common.files import writing_to

#: each command, the module of this package that defines its options, and a line of help
COMMANDS = {
    "demo": ("explain", "explain the Pong agent that comes with the package"),
    "explain": (
        "explain",
        "collect states, explain and measure them, then write pictures and report",
    ),
    "collect": ("explain", "play the agent and save its states"),
    "fit": ("explain", "fit a VisionMask on the collected states"),
    "report": ("explain", "write pictures and report from earlier results"),
    "evaluate": (
        "evaluate",
        "measure the explainers of a folder, or a grid of agents x explainers x seeds",
    ),
    "diagnose": (
        "diagnose",
        "say what is wrong with an agent: what it sees, what it does, what it earns",
    ),
    "inside": (
        "inside",
        "show what the layers of the agent know, and which states excite their units",
    ),
    "tree": (
        "tree",
        "distill an agent into a decision tree that is read, drawn, and run as Python or C",
    ),
    "behavior": (
        "behavior",
        "draw a map of what the agent does: clusters of its states, ways between, and failures",
    ),
    "outcomes": (
        "outcomes",
        "play on from a step with the agent's action and with others: returns and a video",
    ),
    "critical": (
        "critical",
        "find the steps in which the agent's own action matters, and test that it does",
    ),
    "objects": (
        "objects",
        "measure how much of the maps lies on objects of an Atari game, and whether these matter",
    ),
    "why": ("why", "remove salient regions from one state and show how the agent's action changes"),
    "probe": ("probe", "generate states that the agent values highly, fears, or is undecided in"),
    "highlights": (
        "highlights",
        "show the most important situations of the agent's episodes in one short video",
    ),
    "view": (
        "view",
        "serve a page of a folder's states on this machine, whatever their number; explainers run "
        "when they are asked",
    ),
    "export": (
        "export",
        "write steps of an episode with their maps as a video, a GIF, frames, or for Rerun",
    ),
    "study": (
        "study",
        "make a study of people: a page that asks them what maps tell, the analysis of their "
        "answers, and the power of such a study",
    ),
    "train": (
        "train",
        "train by rl-zoo3, with SGQN and its baselines; with -o, train one of these so that the "
        "run can be resumed (python -m rl_zoo3.train -h shows the zoo's flags; these are for -o)",
    ),
    "enjoy": ("train", "play a trained agent by rl-zoo3, with SGQN and its baselines"),
    "benchmark": ("train", "train and evaluate on the DMControl generalization benchmark"),
    "hub": (
        "hub",
        "upload a fitted explainer or generator to the Hugging Face Hub, or download it",
    ),
    "list": ("listing", "list explainers, metrics, baselines, networks, targets and algorithms"),
}

#: the modules of the commands, each once
MODULES = tuple(dict.fromkeys(module for module, _ in COMMANDS.values()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: arguments of the command line; those of the process when not given
    :return: exit code: 0 after success, 2 after a mistake, 130 after Ctrl-C
    """
    options = argparse.Namespace()
    try:
        options = read_options(list(sys.argv[1:] if arguments is None else arguments))
        prepare(options)
        with warning_in_flags(options), writing_to(Path(getattr(options, "output", None) or ".")):
            run(options)
        for note in getattr(options, "notes", ()):  # not before an error
            print(note, file=sys.stderr)
    except ExplainError as error:
        message = str(error)
        if hasattr(options, "parser"):
            message = make_printable(say_flags(message, list_flags(options.parser)))
        print(f"sb3-explain: {message}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        output = getattr(options, "output", None)
        saved = f"what is finished is saved in {output}; " if output is not None else ""
        again = "run the same command again to go on"
        print(f"\nsb3-explain: interrupted; {saved}{again}", file=sys.stderr)
        return 130
    return 0


def run(options: argparse.Namespace) -> None:
    """Run a command, and keep the flags of the agent that it has loaded in its output folder.

    They are not kept after a mistake, which may be the wrong agent for the folder.

    :param options: the options of the command
    """
    try:
        options.command(options)
    except KeyboardInterrupt:
        keep_agent(options)
        raise
    keep_agent(options)


def keep_agent(options: argparse.Namespace) -> None:
    """Write the flags of the agent into the output folder, if there is both."""
    if hasattr(options, "demo") and options.output.is_dir():
        # the module of no command: it would be imported before it is needed
        from sb3_explain.cli.agent_file import write_agent_file

        write_agent_file(options)


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Parse a command line.

    Only the module of its command is imported: importing all of them would take seconds.

    :param arguments: arguments of the command line
    :return: the options, with the function that runs the command as ``command``
    :raises ExplainError: if there is no such command
    """
    if is_of_zoo(arguments):
        return argparse.Namespace(command=run_zoo, given=arguments)
    top = Parser(prog="sb3-explain", description="Explain agents of Stable-Baselines3.")
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = Commands(top, {name: line for name, (_, line) in COMMANDS.items()})
    top.add_argument(
        "--print-completion", action=PrintCompletion, choices=SHELLS, metavar="SHELL",
        add_all=lambda: add_options(commands, *MODULES),
        help=f"print what a shell needs to complete commands and flags: {', '.join(SHELLS)}",
    )  # fmt: skip
    called = next((word for word in arguments if not word.startswith("-")), None)
    if called is not None and not arguments[0].startswith("--print-completion"):
        if called not in COMMANDS:
            raise unknown_name("command", called, COMMANDS)
        add_options(commands, COMMANDS[called][0])
    options: argparse.Namespace = top.parse_args(arguments or ["--help"])
    return options


def add_options(commands: Commands, *modules: str) -> None:
    """Add the options of the commands of some modules, which are imported."""
    for module in modules:
        importlib.import_module(f"{__name__}.{module}").add_commands(commands)
