"""Messages speak of flags, not of the arguments of Python functions."""

import pytest

from sb3_explain.cli import COMMANDS, read_options
from sb3_explain.cli.flag_names import list_flags, say_flags

FLAGS = {"n_states": "--n-states", "seed": "--seed", "k": "-k", "fit": "--fit", "load_best": "-b"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("n_states=0, seed=-1: no", "--n-states 0, --seed -1: no"),
        ("k=0, before=-1", "-k 0, before=-1"),
        ("give fit='visionmask'", "give --fit visionmask"),
        ("give fit='two words'", "give --fit 'two words'"),
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
    assert set(flags.values()) <= known
    if name == "explain":
        assert flags["fit_kwargs"] == "--training" and flags["trusted"] == "--trust"
        assert flags["explainers"] == "--explainer" and flags["output"] == "--output"
