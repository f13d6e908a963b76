"""agent.json: an output folder says which agent it explains, and no file is trusted for it."""

import argparse
import json
import os
import shutil
from pathlib import Path

import pytest

from sb3_explain import collect, demo_agent, explain, load_agent
from sb3_explain.cli import main
from sb3_explain.cli.agent_file import AGAIN, DEFAULTS, HERE, complete_flags, write_agent_file
from sb3_explain.common.errors import ExplainError
from tests.cli.zoo_agent import ENV, save_cartpole
from tests.mutations import require_line


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """A folder of agents, and an output folder with a few states."""
    root = tmp_path_factory.mktemp("root")
    save_cartpole(root / "logs")
    arguments = ["--algo", "ppo", "--env", ENV, "-f", str(root / "logs"), "-o", str(root / "out")]
    assert main(["collect", *arguments, "-n", "60", "--max-per-episode", "10", "--no-render",
                 "--no-progress", "--action-names", "west", "east"]) == 0  # fmt: skip
    return root


def ask(root, *flags):
    return main(["why", "-o", str(root / "out"), "--state", "3", "--explainer", "gradient", *flags])


def test_a_later_command_needs_the_folder_alone(collected, capsys):
    assert ask(collected, "--target", "west") == 0
    shown = capsys.readouterr()
    assert "agent: ppo CartPole-v1, as" in shown.err and "p(west)" in shown.out
    assert ask(collected, "--target", "weast") == 2  # and no line but that of the error
    said = capsys.readouterr().err.split("\n")
    assert len(said) == 2 and said[0].startswith("sb3-explain: unknown action 'weast'")
    assert f"next    sb3-explain why -o {collected / 'out'} --state 3 --instead" in shown.out


def test_python_keeps_what_the_command_line_needs(collected, tmp_path):
    agent = load_agent(
        "ppo", ENV, folder=collected / "logs", action_names=["west", "east"], vec_normalize=False
    )
    explain(agent, tmp_path / "out", explainers="gradient", metrics=["sparseness"], n_states=60,
            n_evaluated=5, n_shown=10, progress=False)  # fmt: skip
    assert ask(tmp_path, "--target", "west") == 0
    assert str(collected) not in (tmp_path / "out" / "agent.json").read_text()
    assert load_agent("ppo", ENV, folder=collected / "logs", picture_keys=[]).origin is None


def test_the_file_names_no_home_and_moves_with_its_agents(collected, tmp_path):
    written = json.loads((collected / "out" / "agent.json").read_text())
    assert written["folder"] == "../logs"
    assert written["action_names"] == ["west", "east"]
    assert "device" not in written
    moved = Path(shutil.copytree(collected, tmp_path / "elsewhere"))
    assert ask(moved) == 0


@pytest.mark.parametrize("of_demo", [True, False])
def test_a_folder_that_python_wrote_is_of_the_demo_if_its_states_are(of_demo, tmp_path):
    pytest.importorskip("ale_py")
    agent = demo_agent()
    if not of_demo:
        agent.provenance["sha256"] = "0" * 64
    collect(
        agent, n_states=2, folder=tmp_path / "episodes", n_envs=1, max_per_episode=2, render=False,
        progress=False,
    )  # fmt: skip
    options = argparse.Namespace(output=tmp_path, algo=None, env=None)
    options.__dict__.update(dict.fromkeys({**DEFAULTS, **AGAIN, **HERE}))
    if of_demo:
        complete_flags(options)
        assert options.demo and (options.algo, options.env) == ("ppo", "PongNoFrameskip-v4")
    else:
        with pytest.raises(ExplainError, match="for an agent that load_agent has not loaded"):
            complete_flags(options)


def test_what_is_given_comes_first(collected, capsys):
    assert ask(collected, "--action-names", "down", "up", "--target", "down") == 0
    assert "p(down)" in capsys.readouterr().out
    assert ask(collected, "--exp-id", "7") == 2  # there is no such run
    # a mistake does not change what is kept
    assert json.loads((collected / "out" / "agent.json").read_text())["exp_id"] == 0


def swap(**values):
    def change(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def pipe(path):
    path.unlink()
    os.mkfifo(path)


#: what becomes of the file, and what the line says
CASES = {
    "no json": (lambda path: path.write_text("{"), "is not JSON"),
    "a list": (lambda path: path.write_text("[]"), "is [], not a dict"),
    "huge": (lambda path: path.write_text(" " * 200_000), "larger than 100000 bytes"),
    "pipe": (pipe, "a pipe"),
    "no algo": (swap(algo=""), "algo is missing"),
    "unknown algo": (swap(algo="ppp"), "did you mean 'ppo'"),
    "numbers": (swap(env=3), "env is 3"),
    "a module": (swap(env="os:CartPole-v1"), "whose module would be imported"),
    "packages": (swap(gym_packages=["antigravity"]), "needs --gym-packages 'antigravity'"),
    "trust": (swap(trust=["os"]), "needs --trust 'os'"),
    "arguments": (swap(env_kwargs=["rom:'/etc/passwd'"]), "give --env-kwargs again"),
    "long": (swap(folder="x" * 5000), "a text of at most 4000"),
    "no agent": (swap(folder="../nowhere"), "nowhere"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_one_line(collected, tmp_path, capsys, case):
    root = Path(shutil.copytree(collected, tmp_path / "root"))
    change, said = CASES[case]
    change(root / "out" / "agent.json")
    assert ask(root) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    require_line(line.removeprefix("sb3-explain: "))
    assert said in line, line


def test_what_is_refused_may_be_given_again(collected, tmp_path):
    root = Path(shutil.copytree(collected, tmp_path / "root"))
    swap(gym_packages=["tests.toys"])(root / "out" / "agent.json")
    assert ask(root, "--gym-packages", "tests.toys") == 0


def test_all_flags_are_kept_and_read_again(tmp_path):
    given = {
        "algo": "sac", "env": "Pendulum-v1", "folder": str(tmp_path / "logs"), "exp_id": 3,
        "load_best": True, "load_checkpoint": 100, "load_last_checkpoint": False,
        "organization": "sb3", "revision": "main", "vec_normalize": str(tmp_path / "n.pkl"),
        "action_names": ["torque"], "feature_names": ["x", "y", "speed"], "env_kwargs": [],
        "gym_packages": [], "trust": [],
    }  # fmt: skip
    output = tmp_path / "some" / "out"
    output.mkdir(parents=True)
    write_agent_file(argparse.Namespace(**given, demo=False, output=output))
    nothing = dict.fromkeys(["algo", "env", *DEFAULTS, *AGAIN, *HERE])
    read = argparse.Namespace(**nothing, output=output)
    complete_flags(read)
    assert {name: getattr(read, name) for name in given} == given
    assert read.device == "cpu" and read.demo is False


def test_without_a_file_the_defaults_are_those_of_the_help(tmp_path):
    nothing = dict.fromkeys([*DEFAULTS, *AGAIN, *HERE])
    options = argparse.Namespace(algo="ppo", env=ENV, output=tmp_path, **nothing)
    complete_flags(options)
    assert (options.folder, options.exp_id, options.device) == ("logs", 0, "cpu")
    unnamed = argparse.Namespace(algo=None, env=None, output=tmp_path, **nothing)
    with pytest.raises(ExplainError, match=r"\(no agent\.json\)"):
        complete_flags(unnamed)
