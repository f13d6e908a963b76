"""Messages speak of flags, not of the arguments of Python functions."""

import ast
import logging
import re
from pathlib import Path

import pytest

import sb3_explain
from sb3_explain.cli import COMMANDS, read_options
from sb3_explain.cli.flag_names import EARLIER, list_flags, say_flags, warning_in_flags

FLAGS = {
    "n_states": "--n-states", "seed": "--seed", "k": "-k", "fit": "--fit", "load_best=True": "-b",
    "names": "--names", "render=False": "--no-render",
}  # fmt: skip


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("n_states=0, seed=-1: no", "--n-states 0, --seed -1: no"),
        ("k=0, before=-1", "-k 0, before=-1"),
        ("give fit='visionmask'", "give --fit visionmask"),
        ("give fit='two words'", "give --fit 'two words'"),
        ("give n_states=, or k=.", "give --n-states, or -k."),
        ("collect more (n_states=, -n) or (seed=, --seed)", "collect more (-n) or (--seed)"),
        ("a does, and list_explainers(agent) names all that do", "a does"),
        ("give seed=None", "give --seed None"),
        ("collect with render=False (render=None)", "collect with --no-render (render=None)"),
        ("names=['a.b', 'two words']: or names=[...]", "--names a.b 'two words': or --names"),
        ("give names=False", "give --names no"),
        ("another seed fits", "another seed fits"),
        ("leave out load_best", "leave out -b"),
        ("(n_states is 3, not 4)", "(--n-states is 3, not 4)"),
        # names of files, quoted names, longer names and attributes are none
        ("out/n_states/n_states.json", "out/n_states/n_states.json"),
        ("unknown target 'n_states'", "unknown target 'n_states'"),
        ("max_n_states, n_states_max, a.n_states", "max_n_states, n_states_max, a.n_states"),
        ("--n_states and -n_states", "--n_states and -n_states"),
    ],
)
def test_arguments_become_flags(message, said):
    assert say_flags(message, FLAGS) == said


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("enjoy", "list")])
def test_every_flag_of_a_table_exists(name):
    words = {
        "hub": ["push", "a/b"],
        "benchmark": ["dmc"],
        "view": ["out"],
        "study": ["power", "--participants", "9"],
    }
    positional = words.get(name, [])
    extra = ["--algo", "sac", "--env", "x", "-o", "out"] if name == "train" else []
    options = read_options([name, *positional, *extra])
    flags = list_flags(options.parser)
    known = set(options.parser._option_string_actions)
    assert set(flags.values()) - set(EARLIER.values()) <= known
    if name == "explain":
        assert flags["fit_kwargs"] == "--training" and flags["trusted"] == "--trust"
        assert flags["render=False"] == "--no-render" and flags["load_best=True"] == "--load-best"
        assert flags["explainers"] == "--explainer" and flags["output"] == "--output"


def test_errors_of_python_functions_name_no_flags():
    root = Path(sb3_explain.__file__).parent
    for path in root.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        raised = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Raise)]
        for text in (n for one in raised for n in ast.walk(one) if isinstance(n, ast.Constant)):
            said = str(text.value).replace("ray start --head", "")
            assert not re.search(r"(?<![\w-])--[a-z]", said), (path, text.lineno)


def test_warnings_name_flags_while_a_command_runs(capsys):
    options = read_options(["explain"])
    logger = logging.getLogger("sb3_explain.states")
    with warning_in_flags(options):
        logger.warning("%s: give fit=%r or n_states=", "too few", "visionmask")
    logger.warning("fit=2")
    assert capsys.readouterr().err.split("\n")[0] == "too few: give --fit visionmask or --n-states"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["explain", "--targt", "left"],
            "--targt left; did you mean --target? (see sb3-explain ex",
        ),
        (
            ["list", "x"],
            "sb3-explain list: unrecognized arguments: x (see sb3-explain list --help)",
        ),
        (["behavior", "--n-clusters", "99"], "99 is above 26"),
        (["critical", "--share", "3"], "'3' is no number from 0 to 1"),
    ],
)
def test_a_wrong_flag_is_told_before_anything_is_done(arguments, said, capsys):
    with pytest.raises(SystemExit):
        read_options(arguments)
    assert said in capsys.readouterr().err
